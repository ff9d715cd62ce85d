"""Region encoders: masks and the photo → an embedding per proposal (method, section 3).

Letters: N proposals, h×w mask size, H×W image, L thresholds, R masks with a pixel, E embedding
width.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn

from zsk.errors import UserError
from zsk.looks.true_scale import Box, resize_rows

from .crops import crops_by_matrices, masked_crops
from .encoder import VisionLanguageEncoder
from .sight import Sight

MASKS_AT_ONCE = 8  # that are enlarged to the size of the image: bounds the memory
CHUNK_SIZE = 32  # crops that are encoded together: bounds the memory


class RegionEncoder(nn.Module, ABC):
    """What every proposal shows, as the frozen encoder sees it.

    Args:
        encoder: the frozen image side.
        mask_thresholds: one or more in (0,1), at which the sigmoid of the masks is binarised.
            Several thresholds give several looks at a proposal: a low one shows more of its
            surroundings, a high one less of the object. The embedding is their mean, whose logits
            are the mean of the looks' logits.
        antialias: of crops, see `masked_crops`.

    Attributes:
        fixed: no shape depends on a value, as an export needs it, on the CPU: masks without a pixel
            are encoded, too, and their embeddings become 0 afterwards.
    """

    fixed = False

    def __init__(
        self,
        encoder: VisionLanguageEncoder,
        mask_thresholds: Sequence[float] = (0.5,),
        antialias: bool = True,
    ) -> None:
        super().__init__()
        self.logit_thresholds = tuple(math.log(t / (1 - t)) for t in dict.fromkeys(mask_thresholds))
        self.encoder = encoder
        self.antialias = antialias

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
            found, shown = self.looks(pixels, mask_logits, box, sight)
        if self.fixed:
            rows = torch.where(shown[..., None], found.unflatten(0, shown.shape), 0.0)
        else:
            rows = found.new_zeros(*shown.shape, self.encoder.embed_dim)
            rows[shown] = found
        counts = shown.sum(dim=0)[:, None]
        return rows.sum(dim=0) / counts.clamp(min=1), counts[:, 0] > 0

    @abstractmethod
    def looks(
        self, pixels: Tensor, mask_logits: Tensor, box: Box | None, sight: Sight | None
    ) -> tuple[Tensor, Tensor]:
        """What the masks show at each of the L thresholds.

        Args:
            pixels: (3,H,W) float32, normalised.
            mask_logits, box, sight: as in `forward`.

        Returns:
            float32 unit rows of the masks with a pixel, (R,E), or if `fixed` of all masks, (L·N,E);
            and which masks have a pixel, (L,N) bool.
        """


class CropEncoder(RegionEncoder):
    """Encodes a masked crop of each proposal; masks are binarised at the size of the image."""

    def looks(
        self, pixels: Tensor, mask_logits: Tensor, box: Box | None, sight: Sight | None
    ) -> tuple[Tensor, Tensor]:
        cut = crops_by_matrices if self.fixed else masked_crops
        crops, rows, shown = [], [], []
        for threshold, chunk in product(self.logit_thresholds, mask_logits.split(CHUNK_SIZE)):
            for logits in chunk.split(MASKS_AT_ONCE):
                masks = resize_rows(logits.float(), box, pixels.shape[-2:]) > threshold
                shown.append(masks.flatten(1).any(dim=1))
                masks = masks if self.fixed else masks[shown[-1]]
                crops.append(cut(pixels, masks, self.encoder, self.antialias))
            if not self.fixed:
                rows.append(self.encoder.encode_image(torch.cat(crops)))
                crops.clear()
        if self.fixed:  # at once, since a graph holds the encoder's weights for each call of it
            rows.append(self.encoder.encode_image(torch.cat(crops)))
        return torch.cat(rows), torch.cat(shown).view(len(self.logit_thresholds), -1)


class OnePassEncoder(RegionEncoder):
    """Encodes the photo once and pools under each mask, binarised at the size of the masks."""

    def looks(
        self, pixels: Tensor, mask_logits: Tensor, box: Box | None, sight: Sight | None
    ) -> tuple[Tensor, Tensor]:
        if box is not None:  # on cells that cover the photo and nothing else
            mask_logits = resize_rows(mask_logits.float(), box, mask_logits.shape[-2:])
        return self._pooled(mask_logits, partial(self.encoder.encode_regions, pixels))

    def _pooled(
        self, mask_logits: Tensor, encode: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """As `looks`; `encode` takes masks with a pixel each, as float32."""
        masks = torch.stack([mask_logits > threshold for threshold in self.logit_thresholds])
        shown = masks.flatten(2).any(dim=2)
        if self.fixed:  # the whole photo in place of a mask without a pixel
            return encode((masks | ~shown[..., None, None]).flatten(0, 1).float()), shown
        return encode(masks[shown].float()), shown


class BackboneRegions(OnePassEncoder):
    """As `OnePassEncoder`, but what the backbone, the encoder's own tower, saw is not seen again.

    Masks and `sight` cover the same: the photo, and cells of padding at the right and the bottom.
    """

    def looks(
        self, pixels: Tensor, mask_logits: Tensor, box: Box | None, sight: Sight | None
    ) -> tuple[Tensor, Tensor]:
        assert sight is not None, "the backbone is no ClipBackbone"
        if box is not None:  # without the cells of padding alone
            height, width = mask_logits.shape[-2:]
            below = torch.arange(height, device=mask_logits.device) >= box.bottom
            beside = torch.arange(width, device=mask_logits.device) >= box.right
            mask_logits = mask_logits.masked_fill(below[:, None] | beside, -torch.inf)
        return self._pooled(mask_logits, partial(self.encoder.encode_sight, sight))


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
    if mode == "one_pass" and encoder.vision is None:
        raise UserError(
            "MODEL.CLIP.REGION_MODE is one_pass, but this encoder takes only crops: use crop"
        )
    kinds: dict[str, Callable[..., RegionEncoder]]
    kinds = {"crop": CropEncoder, "one_pass": OnePassEncoder, "backbone": BackboneRegions}
    return kinds[mode](encoder, mask_thresholds, antialias)
