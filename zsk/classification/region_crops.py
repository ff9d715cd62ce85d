"""Cuts proposals out of an image: masked, and squashed to the squares that an encoder takes.

Letters: N proposals, R of them that are cut, h×w mask size, H×W image, S side of a crop. Boxes are
(x0, y0, x1, y1) in pixels of the image, edges at integers: x1 and y1 are exclusive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

from zsk.errors import UserError

from .box_crops import BoxCutter
from .encoder import VisionLanguageEncoder

MASKS_AT_ONCE = 8  # enlarged to the image's size: bounds the memory
CHUNK_GPU = 32  # crops encoded together
CHUNK_PIXELS_CPU = 4 * 260**2  # their pixels, at most CHUNK_CPU: 5 crops of 224 pixels' side
CHUNK_CPU = 32


def crops_at_once(encoder: VisionLanguageEncoder, chunk_size: int) -> int:
    """MODEL.CLIP.CHUNK_SIZE, or where that is 0 how many crops the encoder's device is good at.

    A GPU wants much at a time. On a CPU what a large network makes of many crops leaves the cache
    and is too large for memory that is used again, while two threads have too little to do on one
    crop, and a small network spends its time calling functions. Milliseconds per crop of
    EfficientNet-Lite2 at 260 pixels in chunks of 1 | 2 | 4 | 8 (2026-11-24, quiet): two threads
    19.0 | 15.2 | 14.1 | 17.0, one thread 29.5 | 28.2 | 28.9 | 32.7; on one thread of a busy machine
    of the day before 80 | 93 | not measured | 118. In chunks of 1 | 2 | 8 there, a CLIP ResNet of
    8 channels at 64 pixels took 7.3 | 4.8 | 2.4 (32: 1.4), ViT-B/16 at 224 pixels 640 | 710 | 680.

    Raises:
        UserError: it is negative.
    """
    if chunk_size < 0:
        raise UserError(f"MODEL.CLIP.CHUNK_SIZE is {chunk_size}, but must not be < 0")
    if chunk_size:
        return chunk_size
    if encoder.device.type != "cpu":
        return CHUNK_GPU
    return min(CHUNK_CPU, max(1, CHUNK_PIXELS_CPU // encoder.input_size**2))


class Cutter(Protocol):
    """Cuts proposals of one image."""

    def cut(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """R ≥ 1 proposals by number, (R,) int64 → crops and shown.

        crops: (C,3,S,S) float32, those of the proposals that show a pixel, as in `masked_crops`.
        shown: (R,) bool, which do; C of them.
        """


def cutter(pixels: Tensor, mask_logits: Tensor, logit_threshold: float, size: int) -> Cutter:
    """What cuts on the device of the image; the crops are the same but for rounding.

    A GPU wants few and large calls, a CPU little arithmetic.

    Args:
        pixels: (3,H,W) float32, normalised.
        mask_logits: (N,h,w) float, over the whole image at any resolution.
        logit_threshold: a mask has the pixels whose logits, enlarged bilinearly, are over it.
        size: S.
    """
    kind = BoxCutter if pixels.device.type == "cpu" else RoiCutter
    return kind(pixels, mask_logits, logit_threshold, size)


class RoiCutter:
    """Enlarges whole masks, and cuts all boxes with one `roi_align`. Arguments as in `cutter`."""

    def __init__(
        self, pixels: Tensor, mask_logits: Tensor, logit_threshold: float, size: int
    ) -> None:
        self.pixels = pixels
        self.mask_logits = mask_logits
        self.logit_threshold = logit_threshold
        self.size = size

    def cut(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """As Cutter's."""
        crops, shown = [], []
        for chunk in indices.split(MASKS_AT_ONCE):
            masks = binary_masks(
                self.mask_logits[chunk], self.pixels.shape[-2:], self.logit_threshold
            )
            shown.append(occupied(masks, (1, 2)))
            crops.append(masked_crops(self.pixels, masks[shown[-1]], self.size))
        return torch.cat(crops), torch.cat(shown)


def binary_masks(mask_logits: Tensor, size: Sequence[int], logit_threshold: float) -> Tensor:
    """(N,h,w) logits → (N,H,W) bool: upsampled bilinearly, true where over the threshold."""
    upsampled = F.interpolate(
        mask_logits[:, None].float(), size=tuple(size), mode="bilinear", align_corners=False
    )
    return upsampled[:, 0] > logit_threshold


def occupied(masks: Tensor, dim: int | tuple[int, int]) -> Tensor:
    """Whether bool masks have a true pixel along `dim`."""
    return masks.view(torch.uint8).amax(dim) > 0  # `any` takes five times as long on a CPU


def tight_boxes(masks: Tensor) -> Tensor:
    """(R,H,W) bool masks with a pixel each → (R,4) float32 boxes."""
    sides = []
    for dim in (1, 2):  # (R,W) for x, (R,H) for y
        pixels_along = occupied(masks, dim).to(torch.uint8)
        first = pixels_along.argmax(dim=1)  # argmax is the first of equals
        last = pixels_along.shape[1] - pixels_along.flip(1).argmax(dim=1)
        sides.append((first, last))
    (x0, x1), (y0, y1) = sides
    return torch.stack([x0, y0, x1, y1], dim=1).float()


def masked_crops(pixels: Tensor, masks: Tensor, size: int) -> Tensor:
    """(3,H,W) normalised pixels, (R,H,W) bool masks with a pixel each → (R,3,S,S) float32 crops.

    0 outside the mask, the tight box squashed to a square: averaged over the pixels that fall into
    one pixel of the crop when it shrinks (anti-aliased), bilinear when it grows. Image and mask are
    cut apart and multiplied as crops, so that no masked image exists at full size; the order only
    matters on the mask's edge (measured: cosine between the embeddings 0.9997, at least 0.998).
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
