"""Cuts proposals out of an image: masked, and resized to the squares that an encoder takes.

Letters: N proposals, R of them with a pixel, h×w mask size, H×W image, S side of a crop. Boxes are
(x0, y0, x1, y1) in pixels of the image, edges at integers: x1 and y1 are exclusive.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import masks_to_boxes

from zsk.looks.true_scale import Box, resize_rows

from .encoder import VisionLanguageEncoder

MASKS_AT_ONCE = 8  # that are enlarged to the size of the image: bounds the memory


def cut(
    pixels: Tensor,
    mask_logits: Tensor,
    logit_threshold: float,
    encoder: VisionLanguageEncoder,
    box: Box | None = None,
    antialias: bool = True,
) -> tuple[Tensor, Tensor]:
    """The crops of all proposals that have a pixel.

    Args:
        pixels: (3,H,W) float32, normalised for `encoder`.
        mask_logits: (N,h,w) float, N ≥ 1.
        logit_threshold: a mask has the pixels whose logits, enlarged bilinearly, are over it.
        box: the image on the masks; None where they cover it and nothing else.
        antialias: see `masked_crops`.

    Returns:
        crops (R,3,S,S) float32, see `masked_crops`, and which proposals have a pixel, (N,) bool.
    """
    crops, shown = [], []
    for logits in mask_logits.split(MASKS_AT_ONCE):
        masks = resize_rows(logits.float(), box, pixels.shape[-2:]) > logit_threshold
        shown.append(masks.flatten(1).any(dim=1))
        crops.append(masked_crops(pixels, masks[shown[-1]], encoder, antialias))
    return torch.cat(crops), torch.cat(shown)


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
