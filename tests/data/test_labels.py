"""Label files as joint ids: values of one's own, and values that no class has."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zsk.data.labels import ordered_values, read_joint_label
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

PETS = Vocabulary(("cat", "cow", "dog"), ("cat", "cow", "dog"), (True, False, True))


def record(folder: Path, values: list[list[int]]) -> dict:
    path = folder / "a.png"
    Image.fromarray(np.array(values, dtype=np.uint8)).save(path)
    return {"file_name": "a.jpg", "sem_seg_file_name": str(path)}


def test_ids_are_read_as_stored(tmp_path: Path) -> None:
    assert read_joint_label(record(tmp_path, [[0, 2, 9, 255]])).tolist() == [[0, 2, 9, 255]]


def test_values_become_ids_and_all_others_are_ignored(tmp_path: Path) -> None:
    # cat is 7, cow is 0, dog is 1
    stored = record(tmp_path, [[0, 1, 2, 7, 254, 255]])
    joint = read_joint_label({**stored, "label_values": (7, 0, 1)})
    assert joint.dtype == np.uint8
    assert joint.tolist() == [[1, 2, 255, 0, 255, 255]]


def test_values_come_in_the_order_of_the_classes() -> None:
    assert ordered_values({"dog": 254, "cat": 3, "cow": 0}, PETS) == (3, 0, 254)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"cat": 1, "cow": 2}, "no value for the class 'dog'"),
        ({"cat": 1, "cow": 2, "dog": 3, "hen": 4}, "has 'hen', which is not"),
        ({"cat": 1, "cow": 2, "dog": 1}, "'cat' and 'dog' the same value 1"),
        ({"cat": 1, "cow": 2, "dog": 255}, "'dog' the value 255: give one of 0–254"),
        ({"cat": 1, "cow": -1, "dog": 3}, "'cow' the value -1"),
        ({"cat": 1, "cow": True, "dog": 3}, "'cow' the value True"),
    ],
)
def test_bad_values_name_the_class(values: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ordered_values(values, PETS)
