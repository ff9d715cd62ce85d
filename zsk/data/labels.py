"""Reads label files as joint ids, and checks them. Letters: H×W label map, K classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zsk.data.images import TURNED_ORIENTATIONS, read_photo_size, turn
from zsk.data.label_files import read_label
from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL, Vocabulary, ignore_label, label_dtype

NUM_VALUES = 65536  # that a pixel of a label file may have
LABEL_ORIENTATIONS = ("displayed", "stored")
"""Whether labels lie on the photo as EXIF's orientation displays it, or on its stored pixels."""


def read_joint_label(record: Mapping[str, Any]) -> np.ndarray:
    """The label map of a record on the displayed photo, (H,W) uint8 or, over 255 classes, uint16.

    "label_values" in the record (K file values, one per class) are replaced by joint ids, all other
    values by `ignore_label(K)`. Without them the ids are those of the file, unchecked
    (`check_label`). "label_orientation" is one of LABEL_ORIENTATIONS or missing;
    "photo_orientation" is EXIF's, read from the photo where it is missing.

    Raises:
        UserError: naming the file, when it cannot be read or holds colours instead of ids, or
            nothing tells whether it has to be turned as its photo.
    """
    stored = read_label(record["sem_seg_file_name"])
    stored = turn(stored, turn_of_label(record, stored.shape))
    values = record.get("label_values")
    return stored if values is None else joint_id_table(values)[stored]


def turn_of_label(record: Mapping[str, Any], size: tuple[int, ...]) -> int:
    """The EXIF orientation to apply to a label of (height, width) `size`; 1: it lies as displayed.

    Raises:
        UserError: the photo has an orientation, the record has no "label_orientation", and no size
            tells whether the label was drawn on the displayed photo.
    """
    rule = record.get("label_orientation")
    if rule == "displayed":
        return 1
    orientation = record.get("photo_orientation") or read_photo_size(record["file_name"])[1]
    if rule == "stored" or orientation == 1:
        return orientation
    if orientation not in TURNED_ORIENTATIONS or size[0] == size[1]:
        raise UserError(
            f"image {record['file_name']} has the EXIF orientation {orientation}, and the size of "
            "its label does not tell which way up that was drawn: set label_orientation to "
            "displayed (as viewers show the photo) or stored in the split file"
        )
    return 1


def check_label(
    label: np.ndarray, record: Mapping[str, Any], image_size: tuple[int, int], num_classes: int
) -> None:
    """A UserError, with the file, unless a label map (H,W) fits the photo (height, width) and K."""
    check_size(label.shape, record, image_size)
    check_ids(label, record, num_classes)


def check_size(
    label_size: tuple[int, ...], record: Mapping[str, Any], image_size: tuple[int, int]
) -> None:
    """Raise a UserError that names the files unless the two (height, width) are equal."""
    if tuple(label_size) == tuple(image_size):
        return
    advice = "make them agree"
    if tuple(label_size) == image_size[::-1] and "label_orientation" not in record:
        advice += (
            "; where all labels are drawn on the stored pixels of photos with an EXIF orientation, "
            "set label_orientation to stored in the split file"
        )
    raise UserError(
        f"label {record['sem_seg_file_name']} is {label_size[1]}×{label_size[0]} pixels but "
        f"its image {record['file_name']} is {image_size[1]}×{image_size[0]}: {advice}"
    )


def check_ids(label: np.ndarray, record: Mapping[str, Any], num_classes: int) -> None:
    """Check that all ids of a label map (H,W) are below K or `ignore_label(K)`.

    Raises:
        UserError: naming the file and the first id that is neither; or K is over 255 and an 8-bit
            file holds 255, which is a class there and the ignore label elsewhere.
    """
    ignore = ignore_label(num_classes)
    if label.dtype == np.uint8 and ignore > IGNORE_LABEL and (label == IGNORE_LABEL).any():
        raise UserError(
            f"label {record['sem_seg_file_name']} holds {IGNORE_LABEL} in 8 bits, but with "
            f"{num_classes} classes that is a class: store 16 bits, with {ignore} for no label"
        )
    present = np.unique(label)
    outside = present[(present >= num_classes) & (present != ignore)]
    if outside.size:
        raise UserError(
            f"label {record['sem_seg_file_name']} holds the id {outside[0]}, but the vocabulary's "
            f"ids are 0–{num_classes - 1}, with {ignore} for ignored pixels: where the files have "
            "other values, give the value of each class in label_values (docs/own_data.md)"
        )


def joint_id_table(label_values: Sequence[int]) -> np.ndarray:
    """(65536,) uint8 or uint16: file value → joint id, `ignore_label(K)` for other values."""
    count = len(label_values)
    table = np.full(NUM_VALUES, ignore_label(count), dtype=label_dtype(count))
    table[list(label_values)] = np.arange(count)
    return table


def ordered_values(values: Mapping[str, int], vocabulary: Vocabulary) -> tuple[int, ...]:
    """The file values of a mapping class name → value, in the order of the vocabulary.

    Raises:
        UserError: naming the class, when it is unknown, or its value is missing, shared with
            another class or not one of 0–65535.
    """
    owners: dict[int, str] = {}
    for name in (*values, *vocabulary.names):
        if name not in vocabulary.names:
            raise UserError(f"label_values has {name!r}, which is not one of the classes")
        if name not in values:
            raise UserError(f"label_values has no value for the class {name!r}: add one, 0–65535")
        value = values[name]
        if type(value) is not int or not 0 <= value < NUM_VALUES:
            raise UserError(f"label_values gives {name!r} the value {value!r}: give one of 0–65535")
        if owners.setdefault(value, name) != name:
            raise UserError(
                f"label_values gives {owners[value]!r} and {name!r} the same value {value}: "
                "each class needs its own"
            )
    return tuple(values[name] for name in vocabulary.names)
