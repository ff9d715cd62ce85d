"""The check at start-up: what it finds without decoding, and what it says."""

import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from faulty_data import FAULTS, IN_PIXELS, NAMES, plant, write_data
from PIL import Image

from zsk.data import startup_check
from zsk.data.register import register_zero_shot_split
from zsk.data.startup_check import check_at_start
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

VOCABULARY = Vocabulary(NAMES, NAMES, (True, False, True))


@pytest.fixture
def pets(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    photos, labels = write_data(tmp_path)
    register_zero_shot_split("pets", photos, labels, VOCABULARY, training=True)
    yield photos, labels
    DatasetCatalog.remove("pets")
    MetadataCatalog.remove("pets")


def test_good_data_pass_and_the_log_says_so(
    pets: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
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


def test_only_some_files_are_opened(
    pets: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four pairs the first and the last are measured and decoded: b's fault goes unseen."""
    plant("outside", *pets)
    monkeypatch.setattr(startup_check, "SIZES_AT_START", 2)
    monkeypatch.setattr(startup_check, "LABELS_AT_START", 2)
    check_at_start(["pets"])
    Image.new("L", (8, 5), 3).save(pets[1] / "d.png")
    with pytest.raises(UserError, match="d.png holds the id 3"):
        check_at_start(["pets"])


def test_thousands_of_files_take_seconds_at_most(pets: tuple[Path, Path]) -> None:
    for folder, suffix in zip(pets, (".jpg", ".png")):
        for number in range(3000):
            (folder / f"{number}{suffix}").symlink_to(folder / f"c{suffix}")
    start = time.process_time()
    check_at_start(["pets"])
    assert time.process_time() - start < 5  # about 0.5 s where nothing else runs


def test_unknown_name() -> None:
    with pytest.raises(UserError, match="'nowhere' is not registered"):
        check_at_start(["nowhere"])


def test_no_data_set_at_all() -> None:
    check_at_start([])
