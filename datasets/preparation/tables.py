"""What the values of the benchmarks' own label files stand for. Letters: H×W label, K classes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from zsk.data.splits import get_split, listed_values
from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL, WIDE_IGNORE_LABEL, ignore_label

FORBIDDEN_VALUE = -1
"""Entry of a value table for file values that a benchmark does not have."""

COCO_STUFF_LAST_CATEGORY_ID = 182
COCO_STUFF_UNUSED_CATEGORY_IDS: frozenset[int] = frozenset(
    (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
)
"""Category ids that COCO never annotated: 182 ids less 11 leave the 171 classes."""

CITYSCAPES_LABEL_IDS: tuple[int, ...] = (
    7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33,
)  # fmt: skip
"""What a labelIds file holds for each of the 19 classes."""

CITYSCAPES_LAST_LABEL_ID = 33
"""The other label ids from 0 to this one are not scored (parking, bridge, caravan, …)."""


def counted_from_1(split: str) -> np.ndarray:
    """(256,) or (65536,) int32, value of a label → id: 1–K → 0–K-1; 0, for others, is ignored."""
    classes = len(get_split(split))
    return value_table(range(1, classes + 1), ignored=(0,), last=ignore_label(classes))


def coco_stuff_value_table() -> np.ndarray:
    """(256,) int32, value of a COCO-Stuff label (category id - 1) → id 0–170; unused ids → -1."""
    category_ids = range(1, COCO_STUFF_LAST_CATEGORY_ID + 1)
    used = (i for i in category_ids if i not in COCO_STUFF_UNUSED_CATEGORY_IDS)
    return value_table(category_id - 1 for category_id in used)


def ade20k_847_value_table() -> np.ndarray:
    """(65536,) int32, value of an object of ADE20K → id 0–846; all other values → 65535."""
    values = listed_values("ade20k_847")
    others = np.setdiff1d(np.arange(WIDE_IGNORE_LABEL + 1), values).tolist()
    return value_table(values, ignored=others, last=WIDE_IGNORE_LABEL)


def cityscapes_label_id_table() -> np.ndarray:
    """(256,) int32, value of a Cityscapes labelIds file → train id; 255 for ids not scored."""
    all_ids = range(CITYSCAPES_LAST_LABEL_ID + 1)
    ignored = (i for i in all_ids if i not in CITYSCAPES_LABEL_IDS)
    return value_table(CITYSCAPES_LABEL_IDS, ignored)


def cityscapes_train_id_table() -> np.ndarray:
    """(256,) int32, value of a Cityscapes labelTrainIds file → the same id."""
    return value_table(range(len(CITYSCAPES_LABEL_IDS)))


def value_table(
    values: Iterable[int], ignored: Iterable[int] = (), last: int = IGNORE_LABEL
) -> np.ndarray:
    """(last+1,) int32: the n-th of `values` → n, `ignored` and `last` → `last`, others → -1."""
    table = np.full(last + 1, FORBIDDEN_VALUE, dtype=np.int32)
    table[[*ignored, last]] = last
    for label_id, value in enumerate(values):
        table[value] = label_id
    return table


def to_joint_ids(values: np.ndarray, table: np.ndarray, source: Path) -> np.ndarray:
    """(H,W) uint8 or uint16 values of the label file `source` -> (H,W) ids and the ignore label.

    Ids are uint8 with 255 to ignore, or, with a table of 65536 values, uint16 with 65535.

    Args:
        table: (256,) or (65536,) int32, value -> id, -1 where the benchmark has no such value.

    Raises:
        UserError: naming the file and a value that the benchmark does not have.
    """
    present = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    forbidden = table[present.clip(max=len(table) - 1)] == FORBIDDEN_VALUE
    unknown = present[forbidden | (present >= len(table))]
    if unknown.size:
        raise UserError(
            f"label {source} holds the value {unknown[0]}, which the benchmark does not have: "
            "get the original label files"
        )
    return table[values].astype(np.uint8 if len(table) == IGNORE_LABEL + 1 else np.uint16)
