"""The check at start-up: what it finds without decoding all files, and its messages."""

import logging
import re
from pathlib import Path

import pytest
from faulty_data import FAULTS, IN_PIXELS, NAMES, plant, write_data
from PIL import Image

from zsk.data import check
from zsk.data.check import check_at_start
from zsk.data.register import register_zero_shot_split
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary


@pytest.fixture(autouse=True)
def pets(tmp_path: Path, empty_catalogs: None) -> tuple[Path, Path]:
    folders = write_data(tmp_path)
    vocabulary = Vocabulary(NAMES, NAMES, (True, False, True))
    register_zero_shot_split("pets", *folders, vocabulary, training=True)
    return folders


def test_good_data_pass_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    check_at_start([])
    with caplog.at_level(logging.INFO, logger="zsk"):
        check_at_start(["pets", "pets"])
    (line,) = [r.getMessage() for r in caplog.records]  # once, though named twice
    assert line.startswith(
        "start-up check of pets: 4 photos have a label; sizes of 4 pairs and ids of 4 labels"
    )


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - IN_PIXELS))
def test_a_planted_fault_stops_the_run(pets: tuple[Path, Path], fault: str) -> None:
    plant(fault, *pets)
    with pytest.raises(UserError) as raised:
        check_at_start(["pets"])
    assert re.search(FAULTS[fault], str(raised.value))


def test_further_problems_are_counted(pets: tuple[Path, Path]) -> None:
    for stem in "abc":
        (pets[0] / f"{stem}.jpg").unlink()
    with pytest.raises(UserError, match=r"'pets' failed .*a.png has no image .* \(2 more prob"):
        check_at_start(["pets"])
    with pytest.raises(UserError, match="'nowhere' is not registered"):
        check_at_start(["nowhere"])


def test_only_some_files_are_opened(
    pets: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four pairs the first and the last are measured and decoded: b's fault goes unseen."""
    plant("outside", *pets)
    monkeypatch.setattr(check, "SIZES_AT_START", 2)
    monkeypatch.setattr(check, "LABELS_AT_START", 2)
    check_at_start(["pets"])
    Image.new("L", (8, 5), 3).save(pets[1] / "d.png")
    with pytest.raises(UserError, match="d.png holds the id 3"):
        check_at_start(["pets"])
