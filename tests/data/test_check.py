"""The check at start-up: what it finds without decoding all files, and its messages."""

import re
from pathlib import Path

import pytest
from faulty_data import FAULTS, IN_PIXELS, NAMES, plant, write_data

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


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - IN_PIXELS))
def test_a_planted_fault_stops_the_run(pets: tuple[Path, Path], fault: str) -> None:
    plant(fault, *pets)
    with pytest.raises(UserError) as raised:
        check_at_start(["pets"])
    assert re.search(FAULTS[fault], str(raised.value))


def test_further_problems_are_counted(pets: tuple[Path, Path]) -> None:
    check_at_start(["pets"])
    for stem in "abc":
        (pets[0] / f"{stem}.jpg").unlink()
    with pytest.raises(UserError, match=r"'pets' failed .*a.png has no image .* \(2 more prob"):
        check_at_start(["pets"])
    with pytest.raises(UserError, match="'nowhere' is not registered"):
        check_at_start(["nowhere"])
