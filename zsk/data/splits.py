"""The zero-shot splits: which classes a benchmark has, and which are seen. Letter: K classes."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from zsk.errors import UserError
from zsk.settings.strict_yaml import read_yaml
from zsk.vocabulary import Vocabulary

SPLITS = ("coco_stuff", "synthetic_objects", "synthetic_stuff", "voc")
EVALUATION_SETS = (
    *("ade20k_150", "ade20k_847", "cityscapes_19"),
    *("pascal_context_459", "pascal_context_59", "voc_20b"),
)
"""Without an unseen list, for evaluation only: which classes are seen depends on the data sets that
a model was trained on, and the flags mean nothing."""

CLASS_LISTS = Path(__file__).with_name("class_lists")
"""A file for each benchmark, with the keys classes, unseen and prompt_names of a split file; in one
of them, classes have the values of their pixels."""


@functools.cache
def get_split(name: str) -> Vocabulary:
    """The joint vocabulary (seen and unseen) of a benchmark: one of SPLITS or EVALUATION_SETS.

    Raises:
        UserError: there is no split of that name.
    """
    known = (*SPLITS, *EVALUATION_SETS)
    if name not in known:
        raise UserError(f"there is no split {name!r}: choose one of {', '.join(known)}")
    content = read_yaml(CLASS_LISTS / f"{name}.yaml")
    prompt_names = content.get("prompt_names")
    return make_vocabulary(list(content["classes"]), content.get("unseen", ()), prompt_names)


def listed_values(name: str) -> tuple[int, ...]:
    """The file value of each class in a file of CLASS_LISTS whose classes have them."""
    return tuple(read_yaml(CLASS_LISTS / f"{name}.yaml")["classes"].values())


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
