"""Crops on a CPU: masks are enlarged within their boxes only, and boxes shrink axis by axis.

`roi_align` reads four pixels for each of its samples, and takes several samples per pixel of a crop
that shrinks. But where the samples of a box lie and what they weigh is a product of y and x, so the
same numbers are two products of small matrices. And of a mask that is enlarged bilinearly, no pixel
is over the threshold unless one of the cells that it lies between is.

Letters: R crops, h×w masks, H×W image, S side of a crop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

CROPS_AT_ONCE = 8  # whose weights, S×H and S×W, exist at a time: bounds the memory
NEVER = -1e9  # in place of a logit that is none (NaN, -inf): as a factor, it spoils no other cell


class BoxedMask(NamedTuple):
    """A mask with a pixel; `inside` (y1-y0,x1-x0) bool is what lies in its tight box."""

    x0: int
    y0: int
    x1: int
    y1: int
    inside: Tensor


class BoxCutter:
    """Cuts what `masked_crops` does, on the CPU; arguments as in `region_crops.cutter`."""

    def __init__(
        self, pixels: Tensor, mask_logits: Tensor, logit_threshold: float, size: int
    ) -> None:
        self.pixels = pixels
        self.size = size
        self.masks = BoxedMasks(mask_logits, pixels.shape[1:], logit_threshold)

    def cut(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """As Cutter's."""
        found = [self.masks.find(number) for number in indices.tolist()]
        masks = [mask for mask in found if mask is not None]
        # channels last: convolutions take less time in this layout
        crops = self.pixels.new_empty(len(masks), 3, self.size, self.size).contiguous(
            memory_format=torch.channels_last
        )
        for start in range(0, len(masks), CROPS_AT_ONCE):
            chunk = slice(start, start + CROPS_AT_ONCE)
            _write_crops(crops[chunk], self.pixels, masks[chunk])
        return crops, torch.tensor([mask is not None for mask in found])


class BoxedMasks:
    """The masks of one image, enlarged to its size where they can have a pixel.

    Args:
        mask_logits: (N,h,w) float.
        size: (H,W).
        logit_threshold: a mask has the pixels whose enlarged logits are over it.
    """

    def __init__(self, mask_logits: Tensor, size: Sequence[int], logit_threshold: float) -> None:
        self.logits = mask_logits.float().nan_to_num(nan=NEVER, posinf=-NEVER, neginf=NEVER)
        self.logit_threshold = logit_threshold
        self.rows = _Enlarged(mask_logits.shape[1], size[0])
        self.columns = _Enlarged(mask_logits.shape[2], size[1])

    def find(self, number: int) -> BoxedMask | None:
        """One of the masks, by number; None: it has no pixel."""
        cells = _extent(self.logits[number] > self.logit_threshold)
        if cells is None:
            return None
        top, rows, down = self.rows.near(*cells[0])
        left, columns, across = self.columns.near(*cells[1])
        enlarged = down @ (self.logits[number, rows, columns] @ across.T)
        mask = enlarged > self.logit_threshold
        extent = _extent(mask)
        if extent is None:
            return None
        (y0, y1), (x0, x1) = extent
        return BoxedMask(left + x0, top + y0, left + x1, top + y1, mask[y0:y1, x0:x1])


class _Enlarged:
    """One axis of the masks, `source` cells, as one of the image, `size` pixels: bilinear."""

    def __init__(self, source: int, size: int) -> None:
        position = ((torch.arange(size) + 0.5) * (source / size) - 0.5).clamp(min=0)
        first = position.long().clamp(max=source - 1)
        second = (first + 1).clamp(max=source - 1)
        self.weights = torch.zeros(size, source)
        self.weights.scatter_add_(1, second[:, None], (position - first)[:, None])
        self.weights.scatter_add_(1, first[:, None], (1 - position + first)[:, None])
        self.first, self.second = first.tolist(), second.tolist()

    def near(self, start: int, stop: int) -> tuple[int, slice, Tensor]:
        """The pixels that lie between the cells [start, stop) and others, or among them.

        Returns:
            the first pixel, the cells that these pixels read, and the weights (pixels,cells).
        """
        top, bottom = bisect_left(self.second, start), bisect_left(self.first, stop)
        if top >= bottom:  # a mask that shrinks: no pixel reads the cells
            return top, slice(0, 0), self.weights[:0, :0]
        cells = slice(self.first[top], self.second[bottom - 1] + 1)
        return top, cells, self.weights[top:bottom, cells]


def _extent(mask: Tensor) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """(H,W) bool → the first row and the one after the last, then columns; None: all false."""
    if not mask.numel():
        return None
    values = mask.view(torch.uint8)
    sides = []
    for dim in (1, 0):
        hits = values.amax(dim).numpy().nonzero()[0]
        if not len(hits):
            return None
        sides.append((int(hits[0]), int(hits[-1]) + 1))
    return sides[0], sides[1]


def _write_crops(crops: Tensor, pixels: Tensor, masks: Sequence[BoxedMask]) -> None:
    """Fill crops (R,3,S,S) from pixels (3,H,W)."""
    size = crops.shape[-1]
    _, height, width = pixels.shape
    down = shrinking([(m.y0, m.y1) for m in masks], height, size)
    across = shrinking([(m.x0, m.x1) for m in masks], width, size)
    for crop, mask, y, x in zip(crops, masks, down, across):
        # a crop's border lies between the box and the pixels around it
        rows = slice(max(mask.y0 - 1, 0), mask.y1 + 1)
        columns = slice(max(mask.x0 - 1, 0), mask.x1 + 1)
        box = pixels[:, rows, columns]
        shrunk = (box.flatten(0, 1) @ x[:, columns].T).unflatten(0, box.shape[:2])
        inside = mask.inside.float() @ x[:, mask.x0 : mask.x1].T
        torch.mul(y[:, rows] @ shrunk, y[:, mask.y0 : mask.y1] @ inside, out=crop)


def shrinking(sides: Sequence[tuple[int, int]], length: int, size: int) -> Tensor:
    """How the pixels of a crop come about along one axis: the weights of `roi_align`.

    Args:
        sides: the box's start and stop on the axis, of R crops.
        length: of the axis, in pixels.
        size: S.

    Returns:
        (R,S,length) float32, rows of sum 1: the mean of samples, as many as pixels of the box fall
        into one of the crop, each linear between two pixels.
    """
    start, stop = torch.tensor(sides, dtype=torch.float32).T[:, :, None]  # (R,1)
    step = (stop - start) / size
    samples = step.ceil()
    weights = torch.zeros(len(sides), size, length)
    pixel = torch.arange(size)
    for number in range(int(samples.max())):
        position = start + (pixel + (number + 0.5) / samples) * step - 0.5
        position = position.clamp(0, length - 1)
        first = position.long()
        share = torch.where(number < samples, 1 / samples, 0.0)
        second = (first + 1).clamp(max=length - 1)
        fraction = position - first
        weights.scatter_add_(2, first[..., None], (share * (1 - fraction))[..., None])
        weights.scatter_add_(2, second[..., None], (share * fraction)[..., None])
    return weights
