"""Resizes as matrices: the same values as torch's, for boxes that are known at run time only.

A resize is linear and separable, so it is one matrix for the rows and one for the columns. The
shapes of the matrices do not depend on the boxes, which is what an exported graph needs.

Letters: N boxes, L pixels along a side of the photo, S pixels along a side of the result.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTH, SHARP = -0.5, -0.75  # torch's parameters of bicubic filters, with and without antialiasing


def antialiased(start: Tensor, stop: Tensor, length: int, size: int, mode: str) -> Tensor:
    """The matrices of `F.interpolate(…, antialias=True)`, from each box to S pixels.

    Args:
        start, stop: (N,) first pixel and end of the boxes along the side, no box empty.
        length: L.
        size: S.
        mode: "bicubic" or "bilinear".

    Returns:
        (N,S,L) float32, 0 for pixels outside the box; rows sum to 1.
    """
    scale, centres = _places(start, stop, size)
    pixels = torch.arange(length) + 0.5
    distances = ((pixels - centres[:, :, None]) / scale.clamp(min=1)[:, None, None]).abs()
    weights = _cubic(distances, SMOOTH) if mode == "bicubic" else (1 - distances).clamp(min=0)
    inside = (pixels > start[:, None]) & (pixels < stop[:, None])
    weights = weights * inside[:, None]
    return weights / weights.sum(dim=2, keepdim=True)


def plain_bicubic(start: Tensor, stop: Tensor, length: int, size: int) -> Tensor:
    """As `antialiased`, of `F.interpolate(…, mode="bicubic")`: four taps, repeated at the edges."""
    _, centres = _places(start, stop, size)
    centres = centres[:, :, None] - 0.5
    taps = centres.floor() + torch.arange(-1, 3)  # (N,S,4)
    weights = _cubic((centres - taps).abs(), SHARP)
    first, last = start[:, None, None], stop[:, None, None] - 1
    taps = torch.minimum(torch.maximum(taps, first), last)
    columns = torch.arange(length)
    parts = [weights[:, :, t, None] * (taps[:, :, t, None] == columns) for t in range(4)]
    return torch.stack(parts).sum(dim=0)


def _places(start: Tensor, stop: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Pixels of the box per pixel of the result, (N,), and where the results lie, (N,S)."""
    scale = (stop - start) / size
    return scale, start[:, None] + scale[:, None] * (torch.arange(size) + 0.5)


def _cubic(distances: Tensor, a: float) -> Tensor:
    """Keys' filter at distances ≥ 0: 1 at 0, 0 at 1 and from 2 on."""
    near = ((a + 2) * distances - (a + 3)) * distances**2 + 1
    far = a * (((distances - 5) * distances + 8) * distances - 4)
    return torch.where(distances <= 1, near, torch.where(distances < 2, far, 0.0))
