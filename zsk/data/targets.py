"""Label maps -> ground-truth segments, of an image and of a batch.

Letters: B images, G segments of an image, T of all images, H×W image, h×w masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

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


class SegmentBatch(NamedTuple):
    """The segments of B images, one image after the other."""

    counts: list[int]  # B, the number of segments of each image
    labels: Tensor  # (T,) int64
    masks: Tensor  # (T,H,W) bool
    valid: Tensor  # (B,H,W) bool, False where the label is to be ignored

    @classmethod
    def from_images(cls, segments: Sequence[Segments]) -> SegmentBatch:
        """B images' segments, whose maps have one size (padded as the images are)."""
        return cls(
            [len(image.labels) for image in segments],
            torch.cat([image.labels for image in segments]),
            torch.cat([image.masks for image in segments]),
            torch.stack([image.valid for image in segments]),
        )

    def resized(self, size: torch.Size) -> SegmentBatch:
        """The same at h x w: the upper left pixel of every cell, as MaskFormer matches."""
        return self._replace(masks=_nearest(self.masks, size), valid=_nearest(self.valid, size))

    def images(self) -> list[Segments]:
        """Image by image again."""
        labels, masks = self.labels.split(self.counts), self.masks.split(self.counts)
        return [Segments(*image) for image in zip(labels, masks, self.valid)]

    def padded(self) -> tuple[Tensor, Tensor]:
        """Labels (B,G), masks (B,G,H,W), G the most of an image; padding: label 0 and no pixel."""
        labels, masks = self.labels.split(self.counts), self.masks.split(self.counts)
        return pad_sequence(labels, batch_first=True), pad_sequence(masks, batch_first=True)


def _nearest(masks: Tensor, size: torch.Size) -> Tensor:
    if len(masks) == 0:
        return masks.new_zeros((0, *size))
    return F.interpolate(masks[None].byte(), size=size, mode="nearest")[0].bool()
