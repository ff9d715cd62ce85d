"""What the preparation programs share: checks of counts and of files, and the dry run's lines."""

import argparse
from pathlib import Path

import pytest

from zsk.data import prepare_options as options
from zsk.errors import UserError


def test_options() -> None:
    parser = argparse.ArgumentParser()
    options.add_options(parser)
    defaults = parser.parse_args([])
    assert defaults.workers >= 1 and not defaults.strict and not defaults.dry_run
    assert parser.parse_args(["--workers", "3"]).workers == 3


def test_counts_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    options.check_count("train.txt", 10_582, 10_582, strict=True)
    assert capsys.readouterr() == ("", "")
    options.check_count("train.txt", 9, 10_582, strict=False)
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("warning: train.txt: 9 images, but the benchmark has 10,582")
    with pytest.raises(UserError, match="train.txt: 9 images.*10,582.*leave out --strict"):
        options.check_count("train.txt", 9, 10_582, strict=True)


def test_missing_files_are_named_and_counted(tmp_path: Path) -> None:
    paths = [tmp_path / f"{stem}.png" for stem in "abc"]
    paths[0].touch()
    with pytest.raises(UserError, match=r"b.png does not exist, but l.txt lists it \(2 of 3 are"):
        options.require_files(paths, Path("l.txt"))
    options.require_files(paths[:1], Path("l.txt"))


def test_dry_run_lines(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert options.describe_reading("val", 1_449, "x") == "val: reads 1,449 labels of x"
    line = options.describe_writing(tmp_path, ["a", "b", "c"])
    assert line == f"    {tmp_path}: 2 to write, 1 there already"
    line = options.describe_writing(tmp_path / "none", ["a"])
    assert line == f"    {tmp_path / 'none'}: 1 to write, 0 there already"
