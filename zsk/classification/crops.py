"""Cuts proposals out of an image: masked, and resized to the squares that an encoder takes.

Letters: N proposals, R of them with a pixel, H×W image, S side of a crop, L pixels along a side of
the image. Boxes are (x0, y0, x1, y1) in pixels of the image, edges at integers: x1 and y1 are
exclusive.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import masks_to_boxes

from .encoder import VisionLanguageEncoder

SMOOTH, SHARP = -0.5, -0.75  # torch's parameters of bicubic filters, with and without antialiasing


def tight_boxes(masks: Tensor) -> Tensor:
    """(R,H,W) bool masks with a pixel each → (R,4) int64 boxes."""
    boxes = masks_to_boxes(masks).long()  # whose x1 and y1 are inclusive
    return torch.cat([boxes[:, :2], boxes[:, 2:] + 1], dim=1)


def masked_crops(
    pixels: Tensor, masks: Tensor, encoder: VisionLanguageEncoder, antialias: bool = True
) -> Tensor:
    """(3,H,W) normalised pixels, (R,H,W) bool masks with a pixel each → (R,3,S,S) float32 crops.

    A crop is the tight box of the mask, 0 (the encoder's mean colour) outside the mask, squashed to
    a square as the encoder's own preprocessing resizes: with antialiasing, columns before rows,
    each without colours beyond black and white. Without `antialias` it is plain bicubic
    interpolation, as in the public ZS-MaskFormer.
    """
    size = encoder.input_size
    black, white = (colour.to(pixels) for colour in encoder.black_and_white())
    crops = pixels.new_empty(len(masks), 3, size, size)
    for crop, mask, (x0, y0, x1, y1) in zip(crops, masks, tight_boxes(masks).tolist()):
        shown = (pixels[:, y0:y1, x0:x1] * mask[y0:y1, x0:x1])[None]
        if not antialias:
            crop.copy_(F.interpolate(shown, (size, size), mode="bicubic")[0])
            continue
        for sides in ((y1 - y0, size), (size, size)):
            shown = F.interpolate(shown, sides, mode=encoder.interpolation, antialias=True)
            shown = shown.clamp(black, white)
        crop.copy_(shown[0])
    return crops


def crops_by_matrices(
    pixels: Tensor, masks: Tensor, encoder: VisionLanguageEncoder, antialias: bool
) -> Tensor:
    """The values of `masked_crops` in a graph of fixed shape; masks may have no pixel.

    A resize is linear and separable: a matrix for the rows and one for the columns, whose shapes do
    not depend on the boxes.
    """
    (height, width), side = pixels.shape[-2:], encoder.input_size
    x0, y0, x1, y1 = tight_boxes(masks).float().unbind(dim=1)  # a pixel where a mask has none
    shown = pixels * masks[:, None]
    if not antialias:
        columns = plain_bicubic(x0, x1, width, side)[:, None]
        return plain_bicubic(y0, y1, height, side)[:, None] @ (shown @ columns.mT)
    black, white = encoder.black_and_white()
    columns = antialiased(x0, x1, width, side, encoder.interpolation)[:, None]
    rows = antialiased(y0, y1, height, side, encoder.interpolation)[:, None]
    return (rows @ (shown @ columns.mT).clamp(black, white)).clamp(black, white)


def antialiased(start: Tensor, stop: Tensor, length: int, size: int, mode: str) -> Tensor:
    """The matrices of `F.interpolate(…, antialias=True)`, from each box to S pixels.

    Args:
        start, stop: (N,) first pixel and end of the boxes along the side, no box empty.
        length, size: L and S.
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
