"""Label map -> ground-truth segments. Shape letters: G segments, H x W image."""

from typing import NamedTuple

import torch
from torch import Tensor

UNNAMED = -1
"""Label of a segment that is something, but no class of the vocabulary is known to be it."""


class Segments(NamedTuple):
    """One binary mask for each class present."""

    labels: Tensor  # (G,) int64, ids into the record's vocabulary, or UNNAMED
    masks: Tensor  # (G,H,W) bool
    valid: Tensor  # (H,W) bool, False where the label is to be ignored


def segments_from_sem_seg(sem_seg: Tensor, ignore_value: int = 255) -> Segments:
    """sem_seg (H,W) int64 -> its segments, labels ascending; G is 0 when nothing is labelled."""
    valid = sem_seg != ignore_value
    labels = torch.unique(sem_seg[valid])
    return Segments(labels, sem_seg == labels[:, None, None], valid)


def with_unnamed(segments: Segments, unnamed: Tensor, ignore_value: int = 255) -> Segments:
    """`segments` and those of the map `unnamed` (H,W) int64, whose ids only tell them apart."""
    others = segments_from_sem_seg(unnamed, ignore_value)
    return Segments(
        torch.cat([segments.labels, torch.full_like(others.labels, UNNAMED)]),
        torch.cat([segments.masks, others.masks]),
        segments.valid | others.valid,
    )
