"""Cuts proposals out of an image: masked, and resized to the squares that an encoder takes.

Letters: N proposals, R of them with a pixel, h×w mask size, H×W image, S side of a crop. Boxes are
(x0, y0, x1, y1) in pixels of the image, edges at integers: x1 and y1 are exclusive.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

MASKS_AT_ONCE = 8  # that are enlarged to the size of the image: bounds the memory


def cut(
    pixels: Tensor, mask_logits: Tensor, logit_threshold: float, size: int
) -> tuple[Tensor, Tensor]:
    """The crops of all proposals that have a pixel.

    Args:
        pixels: (3,H,W) float32, normalised.
        mask_logits: (N,h,w) float, N ≥ 1, over the whole image at any resolution.
        logit_threshold: a mask has the pixels whose logits, enlarged bilinearly, are over it.
        size: S.

    Returns:
        crops (R,3,S,S) float32, see `masked_crops`, and which proposals have a pixel, (N,) bool.
    """
    crops, shown = [], []
    for logits in mask_logits.split(MASKS_AT_ONCE):
        masks = binary_masks(logits, pixels.shape[-2:], logit_threshold)
        shown.append(masks.flatten(1).any(dim=1))
        crops.append(masked_crops(pixels, masks[shown[-1]], size))
    return torch.cat(crops), torch.cat(shown)


def binary_masks(mask_logits: Tensor, size: Sequence[int], logit_threshold: float) -> Tensor:
    """(N,h,w) logits → (N,H,W) bool: upsampled bilinearly, true where over the threshold."""
    upsampled = F.interpolate(
        mask_logits[:, None].float(), size=tuple(size), mode="bilinear", align_corners=False
    )
    return upsampled[:, 0] > logit_threshold


def tight_boxes(masks: Tensor) -> Tensor:
    """(R,H,W) bool masks with a pixel each → (R,4) float32 boxes."""
    sides = []
    for dim in (1, 2):  # (R,W) for x, (R,H) for y
        occupied = masks.any(dim=dim).to(torch.uint8)
        first = occupied.argmax(dim=1)  # argmax is the first of equals
        last = occupied.shape[1] - occupied.flip(1).argmax(dim=1)
        sides.append((first, last))
    (x0, x1), (y0, y1) = sides
    return torch.stack([x0, y0, x1, y1], dim=1).float()


def masked_crops(pixels: Tensor, masks: Tensor, size: int) -> Tensor:
    """(3,H,W) normalised pixels, (R,H,W) bool masks with a pixel each → (R,3,S,S) float32 crops.

    A crop is the tight box of the mask, squashed to a square: averaged where it shrinks
    (anti-aliased), bilinear where it grows, and 0, the encoder's mean colour, outside the mask.
    Image and mask are resized apart and multiplied, so no masked image exists at full size.
    """
    boxes = tight_boxes(masks)
    index = torch.arange(len(masks), device=masks.device, dtype=torch.float32)[:, None]
    # sampling_ratio 0: as many samples per output pixel as there are input pixels in it
    inside = roi_align(
        masks[:, None].float(), torch.cat([index, boxes], 1), size, sampling_ratio=0, aligned=True
    )
    crops = roi_align(
        pixels[None], torch.cat([index * 0, boxes], 1), size, sampling_ratio=0, aligned=True
    )
    return crops * inside
