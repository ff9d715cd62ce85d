"""The ground truth of a batch in few tensors, so that losses need no loop over images.

Shape letters: B images, T segments of them all, G the most of one image, H x W labels, h x w masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from zsk.data.targets import Segments


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
        return self._replace(
            masks=_nearest(self.masks, size),
            valid=_nearest(self.valid, size),
        )

    def images(self) -> list[Segments]:
        """Image by image again."""
        labels, masks = self.labels.split(self.counts), self.masks.split(self.counts)
        return [Segments(*image) for image in zip(labels, masks, self.valid)]

    def padded(self) -> tuple[Tensor, Tensor]:
        """Labels (B,G), masks (B,G,H,W); padding has label 0 and no pixel."""
        labels, masks = self.labels.split(self.counts), self.masks.split(self.counts)
        return pad_sequence(labels, batch_first=True), pad_sequence(masks, batch_first=True)


def _nearest(masks: Tensor, size: torch.Size) -> Tensor:
    if len(masks) == 0:
        return masks.new_zeros((0, *size))
    return F.interpolate(masks[None].byte(), size=size, mode="nearest")[0].bool()
