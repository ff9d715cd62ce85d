"""The data sets for evaluation only: their classes and the values of their label files.

They have no seen flags of their own: these depend on the data sets that a model was trained on.
Letter: K classes.
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
    """K names and K prompt names in label order; errors as of `Vocabulary`."""

    names: tuple[str, ...]
    prompt_names: tuple[str, ...]

    def __post_init__(self) -> None:
        self.vocabulary(())  # checks the names

    def __len__(self) -> int:
        return len(self.names)

    def vocabulary(self, trained: Iterable[str]) -> Vocabulary:
        """The vocabulary of a model that was trained on classes with the names `trained`."""
        return Vocabulary.from_trained(self.names, self.prompt_names, trained)


def make_evaluation_classes(
    names: Sequence[str], prompt_names: Mapping[str, str] | None = None
) -> EvaluationClasses:
    """The checked classes of a data set for evaluation only.

    Args:
        names: K class names; the label id of a class is its position.
        prompt_names: class name → prompt name; other classes are prompted by their name.

    Raises:
        UserError: naming the class, when `prompt_names` holds an unknown one, or a name or prompt
            name occurs twice.
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
    """(256,) int16, value of a Pascal Context label → id: 1–59 → 0–58, others 0 → 255."""
    return value_table(range(1, len(evaluation_names.PASCAL_CONTEXT_NAMES) + 1), ignored=(0,))


def ade20k_value_table() -> np.ndarray:
    """(256,) int16, value of an ADE20K annotation → id: 1–150 → 0–149, others 0 → 255."""
    return value_table(range(1, len(evaluation_names.ADE20K_NAMES) + 1), ignored=(0,))


def cityscapes_label_id_table() -> np.ndarray:
    """(256,) int16, value of a Cityscapes labelIds file → train id; 255 for ids not scored."""
    scored = evaluation_names.CITYSCAPES_LABEL_IDS
    all_ids = range(evaluation_names.CITYSCAPES_LAST_LABEL_ID + 1)
    return value_table(scored, ignored=(i for i in all_ids if i not in scored))


def cityscapes_train_id_table() -> np.ndarray:
    """(256,) int16, value of a Cityscapes labelTrainIds file → the same id."""
    return value_table(range(len(evaluation_names.CITYSCAPES_NAMES)))
