"""Names mask proposals by encoding what each of them shows (method, section 3).

Letters: N proposals, h×w mask size, H×W image, R crops, K classes, E width of the text space, S
side of a crop. Boxes are (x0, y0, x1, y1) in pixels of the image, edges at integers: x1 and y1 are
exclusive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from zsk.errors import UserError

from .encoder import VisionLanguageEncoder


class RegionScores(NamedTuple):
    """probs (N,K) float32, rows sum to 1 or, where invalid, are 0; valid (N,) bool."""

    probs: Tensor
    valid: Tensor


class RegionClassifier(nn.Module):
    """Crops each proposal, hides what lies outside its mask, and compares it with the class names.

    Args:
        encoder: the frozen image side.
        mask_threshold: in (0,1), where the masks' sigmoid is cut.
        chunk_size: proposals handled at once; bounds the memory (chunk_size masked images of
            float32), changes no result.

    Leaving the surroundings in, dimmed or whole, and larger boxes were measured and are worse: see
    embedded_encoder.py. Raises UserError for a number outside its range.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        encoder: VisionLanguageEncoder,
        mask_threshold: float = 0.5,
        chunk_size: int = 32,
    ) -> None:
        super().__init__()
        if not 0 < mask_threshold < 1:
            raise UserError(f"the mask threshold must be between 0 and 1, but is {mask_threshold}")
        if chunk_size < 1:
            raise UserError(f"the chunk size must be at least 1, but is {chunk_size}")
        self.encoder = encoder
        self.logit_threshold = math.log(mask_threshold / (1 - mask_threshold))
        self.chunk_size = chunk_size
        mean, std = torch.tensor(encoder.pixel_mean), torch.tensor(encoder.pixel_std)
        self.register_buffer("pixel_mean", mean.view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", std.view(3, 1, 1), persistent=False)

    @torch.no_grad()
    def forward(self, image: Tensor, mask_logits: Tensor, text: Tensor) -> RegionScores:
        """Class probabilities of N proposals.

        Args:
            image: (3,H,W) uint8 or float, RGB in 0–255, without padding.
            mask_logits: (N,h,w) float, over the whole image at any resolution.
            text: (K,E) float32 unit rows.

        Returns:
            RegionScores without gradient. A mask with no pixel over the threshold is invalid: it is
            never encoded and its row is 0.
        """
        # Before the crops: the pixels that are then set to 0 get the pixel mean.
        pixels = (image.float() - self.pixel_mean) / self.pixel_std
        probs = text.new_zeros(len(mask_logits), len(text), dtype=torch.float32)
        valid = torch.zeros(len(mask_logits), dtype=torch.bool, device=probs.device)
        with torch.autocast(probs.device.type, enabled=False):
            for start in range(0, len(mask_logits), self.chunk_size):
                chunk = slice(start, start + self.chunk_size)
                masks = binary_masks(mask_logits[chunk], pixels.shape[-2:], self.logit_threshold)
                valid[chunk] = shown = masks.flatten(1).any(dim=1)
                crops = masked_crops(pixels, masks[shown], self.encoder.input_size)
                features = self.encoder.encode_image(crops)
                scores = self.encoder.logit_scale * features @ text.float().T
                probs[chunk][shown] = scores.softmax(dim=1)
        return RegionScores(probs, valid)


class OnePassClassifier(RegionClassifier):
    """Names all proposals from one look at the whole photo: features pooled under each mask.

    Called as RegionClassifier is. One forward pass instead of one per proposal; `chunk_size` has no
    part in it.
    """

    @torch.no_grad()
    def forward(self, image: Tensor, mask_logits: Tensor, text: Tensor) -> RegionScores:
        pixels = (image.float() - self.pixel_mean) / self.pixel_std
        probs = text.new_zeros(len(mask_logits), len(text), dtype=torch.float32)
        with torch.autocast(probs.device.type, enabled=False):
            masks = mask_logits > self.logit_threshold
            valid = masks.flatten(1).any(dim=1)
            features = self.encoder.encode_regions(pixels, masks[valid].float())
            probs[valid] = (self.encoder.logit_scale * features @ text.float().T).softmax(dim=1)
        return RegionScores(probs, valid)


REGION_MODES = {"crop": RegionClassifier, "one_pass": OnePassClassifier}


def build_region_classifier(
    mode: str, encoder: VisionLanguageEncoder, mask_threshold: float, chunk_size: int
) -> RegionClassifier:
    """The classifier that MODEL.CLIP.REGION_MODE names.

    Raises:
        UserError: there is no such mode, or the encoder does not take it.
    """
    if mode not in REGION_MODES:
        known = ", ".join(REGION_MODES)
        raise UserError(f"MODEL.CLIP.REGION_MODE is {mode!r}: choose one of {known}")
    if mode == "one_pass" and not encoder.takes_regions:
        raise UserError(
            "MODEL.CLIP.REGION_MODE is one_pass, but this encoder takes only crops: use crop"
        )
    return REGION_MODES[mode](encoder, mask_threshold, chunk_size)


def binary_masks(mask_logits: Tensor, size: Sequence[int], logit_threshold: float) -> Tensor:
    """(N,h,w) logits → (N,H,W) bool: upsampled bilinearly, true where over the threshold."""
    upsampled = F.interpolate(
        mask_logits[:, None].float(), size=tuple(size), mode="bilinear", align_corners=False
    )
    return upsampled[:, 0] > logit_threshold


def tight_boxes(masks: Tensor) -> Tensor:
    """(R,H,W) bool masks with a pixel each → (R,4) float32 boxes."""
    sides = []
    for pixels_along in (masks.any(dim=1), masks.any(dim=2)):  # (R,W) for x, (R,H) for y
        occupied = pixels_along.to(torch.uint8)
        first = occupied.argmax(dim=1)  # argmax is the first of equals
        last = occupied.shape[1] - occupied.flip(1).argmax(dim=1)
        sides.append((first, last))
    (x0, x1), (y0, y1) = sides
    return torch.stack([x0, y0, x1, y1], dim=1).float()


def masked_crops(pixels: Tensor, masks: Tensor, size: int) -> Tensor:
    """(3,H,W) normalised pixels, (R,H,W) bool masks with a pixel each → (R,3,S,S) float32 crops.

    0 outside the mask, the tight box squashed to a square: averaged over the pixels that fall into
    one pixel of the crop when it shrinks (anti-aliased), bilinear when it grows.
    """
    index = torch.arange(len(masks), device=masks.device, dtype=torch.float32)
    boxes = torch.cat([index[:, None], tight_boxes(masks)], dim=1)
    # sampling_ratio 0: as many samples per output pixel as there are input pixels in it
    return roi_align(pixels * masks[:, None], boxes, size, sampling_ratio=0, aligned=True)
