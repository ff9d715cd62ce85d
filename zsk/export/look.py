"""`ZSKNet.look` at one photo of one size, as tensor operations of fixed shape.

`look` leaves out masks without a pixel and cuts boxes out of the photo. Here, every mask is
encoded, and the embedding of a mask without a pixel becomes 0 afterwards.

Letters: H×W photo, N proposals, h×w masks, E embedding width, L thresholds, S side of a crop.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zsk.classification.crops import MASKS_AT_ONCE, tight_boxes
from zsk.classification.encoder import VisionLanguageEncoder
from zsk.classification.region_encoder import BackboneRegions, CropEncoder, RegionEncoder
from zsk.classification.sight import Sight
from zsk.looks.true_scale import resize_rows
from zsk.proposals.class_scores import LinearScores
from zsk.zsk_net import ZSKNet

from .resize import antialiased, plain_bicubic


class FixedLook(nn.Module):
    """The look of a model, to be exported.

    Args:
        model: in evaluation mode, on the CPU.
    """

    def __init__(self, model: ZSKNet) -> None:
        super().__init__()
        self.model = model
        self.linear_classes = linear_classes(model)
        self.outputs = ["masks"]
        if model.ensemble.mode != "clip":
            self.outputs += ["head"]
        if model.ensemble.mode != "head":
            self.outputs += ["clip", "valid"]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """One photo → those of `outputs`.

        Args:
            image: (H,W,3) uint8 RGB, H and W multiples of `side_divisor`.

        Returns:
            masks (N,h,w) float32 logits over the photo; head (N,E) float32 embeddings, or with
            CLASSIFIER linear (N,K+1) class logits; clip (N,E) float32 and valid (N,) bool.
        """
        model, pixels = self.model, image.permute(2, 0, 1).float()
        size = pixels.shape[-2:]
        sight = model.see(((pixels - model.pixel_mean) / model.pixel_std)[None])
        (head,), (masks,) = model.sem_seg_head(sight.levels)[-1]
        if model.votes_at == "photo":
            masks = resize_rows(masks, None, size)
        found = {"masks": masks, "head": head}
        if self.linear_classes:
            text = head.new_zeros(self.linear_classes, 1)  # of which only the length is read
            found["head"] = model.sem_seg_head.class_logits(head, text)
        if "clip" in self.outputs:
            encoder = model.region_encoder
            found["clip"], found["valid"] = fixed_regions(encoder, pixels, masks, sight.photo(0))
        return tuple(found[name] for name in self.outputs)


def side_divisor(model: ZSKNet) -> int:
    """What H and W have to be multiples of, so that masks cover the photo and nothing else."""
    return model.size_divisibility or model.stride


def linear_classes(model: ZSKNet) -> int:
    """The number of classes of a CLASSIFIER linear, 0 of another."""
    for part in model.modules():
        if isinstance(part, LinearScores):
            return part.num_classes
    return 0


def fixed_regions(
    encoder: RegionEncoder, photo: Tensor, masks: Tensor, sight: Sight | None = None
) -> tuple[Tensor, Tensor]:
    """The values of `RegionEncoder.forward` for masks that cover the photo and nothing else.

    Args:
        photo: (3,H,W) float32 RGB in 0–255.
        masks: (N,h,w) float32 logits.
        sight: as in `RegionEncoder.forward`.
    """
    pixels = encoder.encoder.normalised(photo)
    looks = []
    for threshold in encoder.logit_thresholds:
        if isinstance(encoder, CropEncoder):
            crops, shown = fixed_crops(pixels, masks, threshold, encoder.encoder, encoder.antialias)
            rows = encoder.encoder.encode_image(crops)
        else:
            inside = masks > threshold
            shown = inside.flatten(1).any(dim=1)
            # the whole photo in place of a mask without a pixel, for which nothing is defined
            inside = inside | ~shown[:, None, None]
            if isinstance(encoder, BackboneRegions):
                assert sight is not None
                rows = encoder.encoder.encode_sight(sight, inside.float())
            else:
                rows = encoder.encoder.encode_regions(pixels, inside.float())
        looks.append((torch.where(shown[:, None], rows, 0.0), shown))
    counts = torch.stack([shown for _, shown in looks]).sum(dim=0)
    total = torch.stack([rows for rows, _ in looks]).sum(dim=0)
    return total / counts.clamp(min=1)[:, None], counts > 0


def fixed_crops(
    pixels: Tensor,
    masks: Tensor,
    threshold: float,
    encoder: VisionLanguageEncoder,
    antialias: bool,
) -> tuple[Tensor, Tensor]:
    """The values of `zsk.classification.crops.cut`, with a row for every mask.

    Args:
        pixels: (3,H,W) float32, normalised.
        masks: (N,h,w) float32 logits.
        threshold: a mask has the pixels whose logits, enlarged bilinearly, are over it.

    Returns:
        crops (N,3,S,S) float32, of the mean colour where a mask has no pixel, and which masks have
        one, (N,) bool.
    """
    (height, width), side = pixels.shape[-2:], encoder.input_size
    black, white = encoder.black_and_white()
    crops, shown = [], []
    for logits in masks.split(MASKS_AT_ONCE):
        inside = resize_rows(logits, None, (height, width)) > threshold
        shown.append(inside.flatten(1).any(dim=1))
        x0, y0, x1, y1 = tight_boxes(inside).float().unbind(dim=1)  # the photo where none is
        masked = pixels * inside[:, None]
        if not antialias:
            columns = plain_bicubic(x0, x1, width, side)[:, None]
            rows = plain_bicubic(y0, y1, height, side)[:, None]
            crops.append(rows @ (masked @ columns.mT))
            continue
        columns = antialiased(x0, x1, width, side, encoder.interpolation)[:, None]
        rows = antialiased(y0, y1, height, side, encoder.interpolation)[:, None]
        narrow = (masked @ columns.mT).clamp(black, white)
        crops.append((rows @ narrow).clamp(black, white))
    return torch.cat(crops), torch.cat(shown)
