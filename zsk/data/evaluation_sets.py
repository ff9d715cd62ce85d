"""The data sets that are only evaluated on: their classes and what their label files hold.

No model here is trained on them, so they have no seen and unseen classes of their own: which of
their names a model knows depends on what it was trained on. Letter: K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zsk.data import evaluation_names
from zsk.data.splits import value_table
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary


@dataclass(frozen=True)
class EvaluationClasses:
    """K classes in label order, without seen flags: those are the model's, not the data set's.

    Attributes:
        names: K names as the data set writes them.
        prompt_names: K names as they go into the text prompt.

    Raises:
        UserError: no class, or an empty or repeated name (see `Vocabulary`).
    """

    names: tuple[str, ...]
    prompt_names: tuple[str, ...]

    def __post_init__(self) -> None:
        self.vocabulary(())  # has the checks

    def __len__(self) -> int:
        return len(self.names)

    def vocabulary(self, trained: Iterable[str]) -> Vocabulary:
        """The vocabulary for a model that was trained on classes of the names `trained`."""
        return Vocabulary.from_trained(self.names, self.prompt_names, trained)


def make_evaluation_classes(
    names: Sequence[str], prompt_names: Mapping[str, str] | None = None
) -> EvaluationClasses:
    """The classes of an evaluation-only data set.

    Args:
        names: K class names; the label id of a class is its position.
        prompt_names: friendlier names for some classes; the others are prompted by their name.

    Raises:
        UserError: naming the class, when `prompt_names` holds one that `names` lacks, or when two
            classes share a name or a prompt name.
    """
    friendlier = dict(prompt_names or {})
    for name in friendlier:
        if name not in names:
            raise UserError(f"the prompt names list {name!r}, which is not a class name")
    return EvaluationClasses(tuple(names), tuple(friendlier.get(name, name) for name in names))


EVALUATION_SETS: dict[str, EvaluationClasses] = {
    "pascal_context_59": make_evaluation_classes(
        evaluation_names.PASCAL_CONTEXT_NAMES, evaluation_names.PASCAL_CONTEXT_PROMPT_NAMES
    ),
    "ade20k_150": make_evaluation_classes(
        evaluation_names.ADE20K_NAMES, evaluation_names.ADE20K_PROMPT_NAMES
    ),
    "cityscapes_19": make_evaluation_classes(evaluation_names.CITYSCAPES_NAMES),
}


def pascal_context_value_table() -> np.ndarray:
    """(256,) int16: value in a Pascal Context label file → id; -1 where there is no such value.

    0 (none of the 59) becomes 255: never scored; 1–59 become 0–58; 255 stays.
    """
    return value_table(range(1, len(evaluation_names.PASCAL_CONTEXT_NAMES) + 1), ignored=(0,))


def ade20k_value_table() -> np.ndarray:
    """(256,) int16: value in an ADE20K annotation → id; -1 where there is no such value.

    0 (other) becomes 255: never scored; 1–150 become 0–149; 255 stays.
    """
    return value_table(range(1, len(evaluation_names.ADE20K_NAMES) + 1), ignored=(0,))


def cityscapes_label_id_table() -> np.ndarray:
    """(256,) int16: value in a Cityscapes labelIds file → train id; -1 where there is none.

    The label ids of 0–33 that are not evaluated become 255; 255 stays.
    """
    scored = evaluation_names.CITYSCAPES_LABEL_IDS
    all_ids = range(evaluation_names.CITYSCAPES_LAST_LABEL_ID + 1)
    return value_table(scored, ignored=(i for i in all_ids if i not in scored))


def cityscapes_train_id_table() -> np.ndarray:
    """(256,) int16: value in a Cityscapes labelTrainIds file → the same; -1 where there is none."""
    return value_table(range(len(evaluation_names.CITYSCAPES_NAMES)))
