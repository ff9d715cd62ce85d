"""Region encoders: masks and the photo → an embedding per proposal (method, section 3).

Letters: N proposals, h×w mask size, H×W image, L thresholds, R masks with a pixel, E embedding
width.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from zsk.errors import UserError
from zsk.looks.true_scale import Box, resize_rows

from .crops import cut
from .encoder import VisionLanguageEncoder
from .sight import Sight

CHUNK_SIZE = 32  # crops that are encoded together: bounds the memory


class RegionEncoder(nn.Module, ABC):
    """What every proposal shows, as the frozen encoder sees it.

    Args:
        encoder: the frozen image side.
        mask_thresholds: one or more in (0,1), at which the sigmoid of the masks is binarised.
            Several thresholds give several looks at a proposal: a low one shows more of its
            surroundings, a high one less of the object. The embedding is their mean, whose logits
            are the mean of the looks' logits.
    """

    def __init__(
        self,
        encoder: VisionLanguageEncoder,
        mask_thresholds: Sequence[float] = (0.5,),
    ) -> None:
        super().__init__()
        self.logit_thresholds = tuple(math.log(t / (1 - t)) for t in dict.fromkeys(mask_thresholds))
        self.encoder = encoder

    @torch.no_grad()
    def forward(
        self,
        image: Tensor,
        mask_logits: Tensor,
        box: Box | None = None,
        sight: Sight | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Embed the proposals of one image.

        Args:
            image: (3,H,W) uint8 or float, RGB in 0–255, without padding.
            mask_logits: (N,h,w) float, at any resolution.
            box: the image on the masks; None where they cover it and nothing else.
            sight: what the backbone saw of the image; only `BackboneRegions` reads it.

        Returns:
            embeddings (N,E) float32, the mean of unit rows over the thresholds at which a mask has
            a pixel; valid (N,) bool, False and a row of 0 where it has none at any.
        """
        with torch.autocast(image.device.type, enabled=False):
            pixels = self.encoder.normalised(image)
            embeddings, shown = self.looks(pixels, mask_logits, box, sight)
        counts = shown.sum(dim=0)[:, None]
        return embeddings.sum(dim=0) / counts.clamp(min=1), counts[:, 0] > 0

    @abstractmethod
    def looks(
        self, pixels: Tensor, mask_logits: Tensor, box: Box | None, sight: Sight | None
    ) -> tuple[Tensor, Tensor]:
        """What the masks show at each of the L thresholds.

        Args:
            pixels: (3,H,W) float32, normalised.
            mask_logits, box, sight: as in `forward`.

        Returns:
            (L,N,E) float32 unit rows, 0 where `shown` (L,N) bool is False: the mask has no pixel.
        """


class CropEncoder(RegionEncoder):
    """Encodes a masked crop of each proposal; masks are binarised at the size of the image.

    Args:
        encoder, mask_thresholds: as in `RegionEncoder`.
        antialias: see `masked_crops`.
    """

    def __init__(
        self,
        encoder: VisionLanguageEncoder,
        mask_thresholds: Sequence[float] = (0.5,),
        antialias: bool = True,
    ) -> None:
        super().__init__(encoder, mask_thresholds)
        self.antialias = antialias

    def looks(
        self, pixels: Tensor, mask_logits: Tensor, box: Box | None, sight: Sight | None
    ) -> tuple[Tensor, Tensor]:
        count = len(mask_logits)
        rows = pixels.new_zeros(len(self.logit_thresholds), count, self.encoder.embed_dim)
        shown = torch.zeros(rows.shape[:2], dtype=torch.bool, device=pixels.device)
        for look, threshold in enumerate(self.logit_thresholds):
            for indices in torch.arange(count, device=pixels.device).split(CHUNK_SIZE):
                logits = mask_logits[indices]
                crops, has_pixel = cut(pixels, logits, threshold, self.encoder, box, self.antialias)
                rows[look, indices[has_pixel]] = self.encoder.encode_image(crops)
                shown[look, indices] = has_pixel
        return rows, shown


class OnePassEncoder(RegionEncoder):
    """Encodes the photo once and pools under each mask, binarised at the size of the masks."""

    def looks(
        self, pixels: Tensor, mask_logits: Tensor, box: Box | None, sight: Sight | None
    ) -> tuple[Tensor, Tensor]:
        if box is not None:  # on cells that cover the photo and nothing else
            mask_logits = resize_rows(mask_logits.float(), box, mask_logits.shape[-2:])
        masks = torch.stack([mask_logits > threshold for threshold in self.logit_thresholds])
        return self._pooled(masks, lambda shown: self.encoder.encode_regions(pixels, shown))

    def _pooled(self, masks: Tensor, encode: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """(L,N,h,w) bool → as `looks`; `encode` takes those with a pixel, as float32."""
        shown = masks.flatten(2).any(dim=2)
        rows = torch.zeros(*shown.shape, self.encoder.embed_dim, device=masks.device)
        rows[shown] = encode(masks[shown].float())
        return rows, shown


class BackboneRegions(OnePassEncoder):
    """As `OnePassEncoder`, but what the backbone, the encoder's own tower, saw is not seen again.

    Masks and `sight` cover the same: the photo, and cells of padding at the right and the bottom.
    """

    def looks(
        self, pixels: Tensor, mask_logits: Tensor, box: Box | None, sight: Sight | None
    ) -> tuple[Tensor, Tensor]:
        assert sight is not None, "the backbone is no ClipBackbone"
        masks = torch.stack([mask_logits > threshold for threshold in self.logit_thresholds])
        if box is not None:  # without the cells of padding alone
            height, width = masks.shape[-2:]
            rows = torch.arange(height, device=masks.device) < box.bottom
            columns = torch.arange(width, device=masks.device) < box.right
            masks = masks & rows[:, None] & columns
        return self._pooled(masks, lambda shown: self.encoder.encode_sight(sight, shown))


def build_region_encoder(
    mode: str,
    encoder: VisionLanguageEncoder,
    mask_thresholds: Sequence[float],
    antialias: bool = True,
) -> RegionEncoder:
    """The region encoder that MODEL.CLIP.REGION_MODE, crop, one_pass or backbone, names.

    Raises:
        UserError: the encoder does not support the mode.
    """
    if mode == "crop":
        return CropEncoder(encoder, mask_thresholds, antialias)
    if mode == "backbone":
        return BackboneRegions(encoder, mask_thresholds)
    if not encoder.takes_regions:
        raise UserError(
            "MODEL.CLIP.REGION_MODE is one_pass, but this encoder takes only crops: use crop"
        )
    return OnePassEncoder(encoder, mask_thresholds)
