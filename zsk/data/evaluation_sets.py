"""The data sets for evaluation only.

They have no unseen list: which classes are seen depends on the data sets that a model was trained
on, and the flags here mean nothing.
"""

from __future__ import annotations

from zsk.data.splits import listed_classes
from zsk.vocabulary import Vocabulary

EVALUATION_SETS: dict[str, Vocabulary] = {
    name: listed_classes(name) for name in ("pascal_context_59", "ade20k_150", "cityscapes_19")
}
