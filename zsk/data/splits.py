"""The zero-shot splits: which classes a benchmark has, and which are seen. Letter: K classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from zsk.data import class_names
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary


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
    names: Sequence[str],
    unseen: Iterable[str] = (),
    prompt_names: Mapping[str, str] | None = None,
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
