"""`tools/train_clip.py` as a user runs it, with few steps and scenes."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from zsk.classification.build import build_encoder
from zsk.errors import UserError

TOOL = "tools/train_clip.py"


def test_it_writes_weights_and_a_report(run_program, tmp_path: Path) -> None:
    file = tmp_path / "new" / "clip.pt"
    options = ("--steps", 2, "--batch-size", 8, "--scenes", 3, "--text-steps", 2)
    done = run_program(TOOL, "--output", file, *options, OMP_NUM_THREADS=1)
    assert done.returncode == 0, done.stderr[-2000:]
    assert build_encoder(str(file)).input_size == 64
    report = json.loads(file.with_suffix(".json").read_text())
    assert report["steps"] == 2 and report["crops"] > 100
    for group in ("accuracy", "accuracy_seen", "accuracy_unseen"):
        assert 0 <= report[group] <= 100
    first, last = done.stdout.splitlines()
    assert f"on {report['crops']} clean crops among 32 names: {report['accuracy']:.1f} %" in first
    assert last == f"wrote {file}"
    assert "9/9" in done.stderr and "2/2" in done.stderr  # the bars


def test_an_adapted_one_encodes_texts_as_before(run_program, tmp_path: Path) -> None:
    first, adapted = tmp_path / "clip.pt", tmp_path / "adapted.pt"
    options = ("--steps", 1, "--batch-size", 4, "--scenes", 2, "--text-steps", 1)
    for words in (("--output", first), ("--adapt", first, "--output", adapted)):
        done = run_program(TOOL, *words, *options, OMP_NUM_THREADS=1)
        assert done.returncode == 0, done.stderr[-2000:]
    before, after = (torch.load(file) for file in (first, adapted))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("visual.") for name in changed)
    assert all(name.startswith("visual.") or name == "logit_scale" for name in changed)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--steps", "0"), "--steps is 0: give 1 or more"),
        (("--batch-size", "0"), "--batch-size is 0: give 1 or more"),
        (("--scenes", "-5"), "--scenes is -5: give 1 or more"),
        (("--seed", "-1"), "--seed is -1: give 0 or more"),
        (("--lr", "0"), "--lr is 0.0: give a number over 0"),
        (("--lr", "nan"), "--lr is nan: give a number over 0"),
        (("--adapt", "{}/none.pt"), "there is no file .*none.pt: give one that"),
        (("--adapt", "{}/file"), "file cannot be read|file holds no state dict"),
        (("--output", "{}/clip.json"), "clip.json ends as the report beside it does"),
        (("--output", "{}"), "cannot be written .*it is a folder.*: give a file"),
        (("--output", "{}/file/clip.pt"), r"file/clip.pt cannot be written .*: give a file"),
    ],
)
def test_a_wrong_call_is_a_sentence_before_any_work(
    checkout: Path, flags: tuple[str, ...], message: str, monkeypatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    words = [word.format(tmp_path) for word in ("--output", "{}/clip.pt", *flags)]
    monkeypatch.setattr(sys, "argv", [TOOL, *words])
    monkeypatch.syspath_prepend(checkout)
    main = runpy.run_path(str(checkout / TOOL))["main"]
    with pytest.raises(UserError, match=message):
        main()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
