"""The sole home of seen and unseen: which classes a benchmark has and which of them train.

Letter: K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zsk.data import class_names
from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL, Vocabulary

FORBIDDEN_VALUE = -1
"""Entry of a value table for file values that no class and no ignore region may have."""


class ZeroShotSplit(NamedTuple):
    """A benchmark's classes in label order, the unseen ones and friendlier prompt names."""

    names: tuple[str, ...]
    unseen: tuple[str, ...]
    prompt_names: Mapping[str, str]


SPLITS: dict[str, ZeroShotSplit] = {
    "voc": ZeroShotSplit(
        class_names.VOC_NAMES, class_names.VOC_UNSEEN, class_names.VOC_PROMPT_NAMES
    ),
    "coco_stuff": ZeroShotSplit(
        class_names.COCO_STUFF_NAMES,
        class_names.COCO_STUFF_UNSEEN,
        class_names.COCO_STUFF_PROMPT_NAMES,
    ),
    "synthetic_stuff": ZeroShotSplit(
        class_names.SYNTHETIC_OBJECTS + class_names.SYNTHETIC_STUFF,
        class_names.SYNTHETIC_UNSEEN_OBJECTS + class_names.SYNTHETIC_UNSEEN_STUFF,
        {},
    ),
    "synthetic_objects": ZeroShotSplit(
        class_names.SYNTHETIC_OBJECTS, class_names.SYNTHETIC_UNSEEN_OBJECTS, {}
    ),
}


def get_split(name: str, *, friendly: bool = True) -> Vocabulary:
    """The joint vocabulary (seen and unseen) of a benchmark.

    Args:
        name: "voc" (20 classes, 5 unseen), "coco_stuff" (171, 15), "synthetic_stuff" (32, 8) or
            "synthetic_objects" (24, 6).
        friendly: take the split's table of prompt names; False prompts with the benchmark's names.

    Raises:
        UserError: there is no split of that name.
    """
    if name not in SPLITS:
        raise UserError(f"there is no split {name!r}: choose one of {', '.join(sorted(SPLITS))}")
    split = SPLITS[name]
    return make_vocabulary(split.names, split.unseen, split.prompt_names if friendly else {})


def make_vocabulary(
    names: Sequence[str], unseen: Iterable[str], prompt_names: Mapping[str, str] | None = None
) -> Vocabulary:
    """The vocabulary of a zero-shot split, with every check that a split needs.

    Args:
        names: K class names; the label id of a class is its position.
        unseen: names of the classes whose masks training must not read; at least one, not all.
        prompt_names: friendlier names for some classes; the others are prompted by their name.

    Raises:
        UserError: naming the class, when `unseen` or `prompt_names` holds one that `names` lacks,
            when one is listed twice, when no class is seen or none unseen, or when two classes
            share a name or a prompt name.
    """
    hidden = tuple(unseen)
    friendlier = dict(prompt_names or {})
    for listed, what in ((hidden, "the unseen classes"), (friendlier, "the prompt names")):
        for name in listed:
            if name not in names:
                raise UserError(f"{what} list {name!r}, which is not a class name of the split")
    for name in hidden:
        if hidden.count(name) > 1:
            raise UserError(f"the unseen classes list {name!r} twice: name each class once")
    vocabulary = Vocabulary(
        tuple(names),
        tuple(friendlier.get(name, name) for name in names),
        tuple(name not in hidden for name in names),
    )
    if not hidden:
        raise UserError(f"a split needs an unseen class, but all {len(names)} classes are seen")
    if len(hidden) == len(names):
        raise UserError(f"a split needs a seen class, but all {len(names)} classes are unseen")
    return vocabulary


def voc_value_table() -> np.ndarray:
    """(256,) int16: value in a VOC label file → joint id; -1 where VOC has no such value.

    0 (background) becomes 255: never scored, never trained; 1–20 become 0–19; 255 stays.
    """
    return value_table(range(1, len(class_names.VOC_NAMES) + 1), ignored=(0,))


def coco_stuff_value_table() -> np.ndarray:
    """(256,) int16: value in a COCO-Stuff label file → joint id; -1 where there is no such value.

    The file holds category id - 1; the 11 unused category ids close up, giving 0–170; 255 stays.
    """
    category_ids = range(1, class_names.COCO_STUFF_LAST_CATEGORY_ID + 1)
    used = (i for i in category_ids if i not in class_names.COCO_STUFF_UNUSED_CATEGORY_IDS)
    return value_table(category_id - 1 for category_id in used)


def value_table(values: Iterable[int], ignored: Iterable[int] = ()) -> np.ndarray:
    """(256,) int16 table: the n-th of `values` → n, `ignored` and 255 → 255, all others → -1."""
    table = np.full(256, FORBIDDEN_VALUE, dtype=np.int16)
    table[[*ignored, IGNORE_LABEL]] = IGNORE_LABEL
    for label_id, value in enumerate(values):
        table[value] = label_id
    return table


def to_joint_ids(values: np.ndarray, table: np.ndarray, source: Path) -> np.ndarray:
    """(H,W) uint8 values of the label file `source` -> (H,W) uint8 ids 0..K-1 and 255.

    Args:
        table: (256,) int16, value -> id, -1 where the benchmark has no such value.

    Raises:
        UserError: naming the file and a value that the benchmark does not have.
    """
    check_values(values, table, source)
    return table[values].astype(np.uint8)


def check_values(values: np.ndarray, table: np.ndarray, source: Path) -> None:
    """Raise a UserError when a label (H,W) uint8 holds a value that `table` (256,) has not."""
    present = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    unknown = present[table[present] == FORBIDDEN_VALUE]
    if unknown.size:
        raise UserError(
            f"label {source} holds the value {unknown[0]}, which the benchmark does not have: "
            "get the original label files"
        )
