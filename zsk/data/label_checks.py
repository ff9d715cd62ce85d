"""Checks label maps against photos and vocabulary. Letters: H×W label map, K classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL, WIDE_IGNORE_LABEL, ignore_label


def check_label(
    label: np.ndarray, record: Mapping[str, Any], image_size: tuple[int, int], num_classes: int
) -> None:
    """Check a label map (H,W) against the (height, width) of its photo and K.

    Raises:
        UserError: naming the files, when the sizes differ or `check_ids` finds a wrong id.
    """
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
    if label.dtype == np.uint8 and ignore == WIDE_IGNORE_LABEL and (label == IGNORE_LABEL).any():
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


class Doubt(NamedTuple):
    """A sentence why values are hardly joint ids; `sure`: nothing speaks for them."""

    told: str
    sure: bool


def doubt(values: Collection[int], seen: Sequence[bool], *, training: bool) -> Doubt | None:
    """Whether the values of a data set's label files are hardly its joint ids.

    They are where only one value occurs beside the ignore label, and where no value is as small as
    that of the first class that has to occur. This is the first class; in labels for training that
    show no unseen class, the first seen one. Less than half of the classes make the latter unsure.

    Args:
        values: all that occur in the files, which passed `check_ids`.
        seen: K flags.
    """
    ignore = ignore_label(len(seen))
    ids = set(values) - {ignore}
    told = "give the value of each class in label_values (docs/own_data.md), also if this is right"
    if len(ids) == 1 and ignore in values:
        (only,) = ids
        sentence = (
            f"the label files hold only the values {only} and {ignore}, and {ignore} means no "
            f"label: if {ignore} is a class or {only} is none, training would miss it; {told}"
        )
        return Doubt(sentence, True)
    shown = list(range(len(seen)))
    if training and all(seen[k] for k in ids):
        shown = [k for k in shown if seen[k]]
    if not ids or min(ids) <= shown[0]:
        return None
    first = "the first class" if shown[0] == 0 else "the first seen class, nor a smaller one"
    sentence = (
        f"no label file holds the value {shown[0]}, {first}: if the files count the classes from "
        f"1, every class would get the next one's name; {told}"
    )
    return Doubt(sentence, len(ids) * 2 >= len(shown) - 1)
