"""The data sets for evaluation only.

They have no unseen list: which classes are seen depends on the data sets that a model was trained
on, and the flags here mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from zsk.data.splits import get_split, listed_classes, make_vocabulary
from zsk.vocabulary import Vocabulary

_VOC, _CONTEXT = get_split("voc").names, listed_classes("pascal_context_59")
_PROMPTS = dict(zip(_CONTEXT.names, _CONTEXT.prompt_names))  # VOC's 20 classes among them


def _of_context(names: Sequence[str], *others: str) -> Vocabulary:
    return make_vocabulary([*names, *others], prompt_names={name: _PROMPTS[name] for name in names})


BACKGROUND = _of_context([name for name in _CONTEXT.names if name not in _VOC])
"""What VOC's background is asked for as (PAS-20b): Pascal Context's other 39 classes."""

EVALUATION_SETS: dict[str, Vocabulary] = {"voc_20b": _of_context(_VOC, "background")} | {
    name: listed_classes(name)
    for name in (
        "pascal_context_59",
        "pascal_context_459",
        "ade20k_150",
        "ade20k_847",
        "cityscapes_19",
    )
}
