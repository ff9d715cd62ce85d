"""The zero-shot splits: which classes a benchmark has, and which are seen. Letter: K classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zsk.data import class_names
from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL, Vocabulary

FORBIDDEN_VALUE = -1
"""Entry of a value table for file values that a benchmark does not have."""


class ZeroShotSplit(NamedTuple):
    """All classes in label order, the unseen classes, and prompt names of some classes."""

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
        friendly: False takes the benchmark's names as prompt names.

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
    """The checked vocabulary of a zero-shot split.

    Args:
        names: K class names; the label id of a class is its position.
        unseen: the classes without masks in training; not all, and none for training without
            zero-shot numbers.
        prompt_names: class name → prompt name; other classes are prompted by their name.

    Raises:
        UserError: the names are no list, or not of texts; naming the class, when `unseen` or
            `prompt_names` holds an unknown one, a name or prompt name occurs twice, or no class is
            seen.
    """
    for given, what in ((names, "class names"), (unseen, "unseen classes")):
        # a set has another order, and so other label ids, in every process
        allowed = (list, tuple) if what == "class names" else (list, tuple, set, frozenset)
        if not isinstance(given, allowed) or not all(isinstance(name, str) for name in given):
            raise UserError(f"the {what} are {given!r:.80}, but have to be a list of texts")
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
    if len(hidden) == len(names):
        raise UserError(f"a split needs a seen class, but all {len(names)} classes are unseen")
    return vocabulary


def voc_value_table() -> np.ndarray:
    """(256,) int16, value of a VOC label → id: 1–20 → 0–19, background 0 → 255 (ignored)."""
    return value_table(range(1, len(class_names.VOC_NAMES) + 1), ignored=(0,))


def coco_stuff_value_table() -> np.ndarray:
    """(256,) int16, value of a COCO-Stuff label (category id - 1) → id 0–170; unused ids → -1."""
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
    """(H,W) uint8 or uint16 values of the label file `source` -> (H,W) uint8 ids 0..K-1 and 255.

    Args:
        table: (256,) int16, value -> id, -1 where the benchmark has no such value.

    Raises:
        UserError: naming the file and a value that the benchmark does not have.
    """
    check_values(values, table, source)
    return table[values].astype(np.uint8)


def check_values(values: np.ndarray, table: np.ndarray, source: Path) -> None:
    """Raise a UserError when a label (H,W) holds a value that `table` (256,) has not."""
    present = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    forbidden = table[present.clip(max=len(table) - 1)] == FORBIDDEN_VALUE
    unknown = present[forbidden | (present >= len(table))]
    if unknown.size:
        raise UserError(
            f"label {source} holds the value {unknown[0]}, which the benchmark does not have: "
            "get the original label files"
        )
