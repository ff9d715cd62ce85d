"""Reads label files as joint ids and checks them. Letters: H×W label map, K classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zsk.data.images import read_label
from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL, Vocabulary


def read_joint_label(record: Mapping[str, Any]) -> np.ndarray:
    """The label map of a record, (H,W) uint8: joint ids, 255 for unlabelled pixels.

    "label_values" in the record (K file values, one per class) are replaced by ids, all other
    values by 255. Without them the ids are those of the file: check them with `check_ids`.

    Raises:
        UserError: naming the file, when it cannot be read or holds colours instead of ids.
    """
    stored = read_label(record["sem_seg_file_name"])
    values = record.get("label_values")
    return stored if values is None else joint_id_table(values)[stored]


def joint_id_table(label_values: Sequence[int]) -> np.ndarray:
    """(256,) uint8: file value → joint id, 255 for values without a class."""
    table = np.full(256, IGNORE_LABEL, dtype=np.uint8)
    table[list(label_values)] = np.arange(len(label_values), dtype=np.uint8)
    return table


def ordered_values(values: Mapping[str, int], vocabulary: Vocabulary) -> tuple[int, ...]:
    """The file values of a mapping class name → value, in the order of the vocabulary.

    Raises:
        UserError: naming the class, when it is unknown, or its value is missing, shared with
            another class or not one of 0–254.
    """
    owners: dict[int, str] = {}
    for name in (*values, *vocabulary.names):
        if name not in vocabulary.names:
            raise UserError(f"label_values has {name!r}, which is not one of the classes")
        if name not in values:
            raise UserError(f"label_values has no value for the class {name!r}: add one, 0–254")
        value = values[name]
        if type(value) is not int or not 0 <= value < IGNORE_LABEL:
            raise UserError(f"label_values gives {name!r} the value {value!r}: give one of 0–254")
        if owners.setdefault(value, name) != name:
            raise UserError(
                f"label_values gives {owners[value]!r} and {name!r} the same value {value}: "
                "each class needs its own"
            )
    return tuple(values[name] for name in vocabulary.names)


def check_label(
    label: np.ndarray, record: Mapping[str, Any], image_size: tuple[int, int], num_classes: int
) -> None:
    """Check a label map (H,W) uint8 against the (height, width) of its photo and K.

    Raises:
        UserError: naming the files, when the sizes differ or an id is neither below K nor 255.
    """
    check_size(label.shape, record, image_size)
    check_ids(label, record, num_classes)


def check_size(
    label_size: tuple[int, ...], record: Mapping[str, Any], image_size: tuple[int, int]
) -> None:
    """Raise a UserError that names the files unless the two (height, width) are equal."""
    if tuple(label_size) != tuple(image_size):
        raise UserError(
            f"label {record['sem_seg_file_name']} is {label_size[1]}×{label_size[0]} pixels but "
            f"its image {record['file_name']} is {image_size[1]}×{image_size[0]}: make them agree"
        )


def check_ids(label: np.ndarray, record: Mapping[str, Any], num_classes: int) -> None:
    """Raise a UserError that names the file and the first id that is neither below K nor 255."""
    present = np.unique(label)
    outside = present[(present >= num_classes) & (present != IGNORE_LABEL)]
    if outside.size:
        raise UserError(
            f"label {record['sem_seg_file_name']} holds the id {outside[0]}, but the vocabulary's "
            f"ids are 0–{num_classes - 1}, with {IGNORE_LABEL} for ignored pixels"
        )
