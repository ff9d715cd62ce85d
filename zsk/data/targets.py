"""Label map -> ground-truth segments. Letters: G segments, H×W image."""

from typing import NamedTuple

import torch
from torch import Tensor

UNNAMED = -1
"""Label of a segment whose class is unknown."""


class Segments(NamedTuple):
    """One binary mask per class that occurs."""

    labels: Tensor  # (G,) int64, ids into the record's vocabulary, or UNNAMED
    masks: Tensor  # (G,H,W) bool
    valid: Tensor  # (H,W) bool, False where the label is to be ignored


def segments_from_sem_seg(sem_seg: Tensor, ignore_value: int = 255) -> Segments:
    """(H,W) int64 label map -> segments with ascending labels; G is 0 without labelled pixels."""
    valid = sem_seg != ignore_value
    labels = torch.unique(sem_seg[valid])
    return Segments(labels, sem_seg == labels[:, None, None], valid)


def with_unnamed(segments: Segments, unnamed: Tensor, ignore_value: int = 255) -> Segments:
    """Append a segment labelled UNNAMED for every id in the label map `unnamed`, (H,W) int64."""
    others = segments_from_sem_seg(unnamed, ignore_value)
    return Segments(
        torch.cat([segments.labels, torch.full_like(others.labels, UNNAMED)]),
        torch.cat([segments.masks, others.masks]),
        segments.valid | others.valid,
    )
