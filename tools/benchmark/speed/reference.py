"""Crop mode without this project's savings: what the speed benchmark compares with.

Rebuilt from the description of ZS-MaskFormer, not from its code. Known of the published program:
masks cut at 0.5, tight boxes, the pixel mean outside the mask, crops of CLIP's input size, a loop
over the proposals. Assumed: the loop cuts the proposals, all crops go through CLIP together, the
texts are encoded for every photo, masks and class scores are floats of the photo's size.

Letters: N proposals, K classes, H×W photo, S side of a crop.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zsk.looks.batched_inputs import Record
from zsk.looks.true_scale import resize_rows


@torch.no_grad()
def published_labels(model: nn.Module, record: Record, mask_threshold: float) -> Tensor:
    """One photo → labels (H,W) int64, each proposal named by CLIP alone.

    Args:
        model: a ZSKNet with MODEL.ENSEMBLE.MODE head, whose result has the masks.
        record: "image" is as large as the result.
        mask_threshold: between 0 and 1.
    """
    encoder = model.text_classifier.encoder
    image = record["image"].to(encoder.device).float()
    prompts = [f"a photo of a {name}." for name in record["vocabulary"].prompt_names]
    result = model([record])[0]
    masks = resize_rows(result["pred_masks"].float(), result["photo_box"], image.shape[-2:])
    pixels = encoder.normalised(image)
    inside = masks > math.log(mask_threshold / (1 - mask_threshold))
    shown = [n for n, mask in enumerate(inside) if mask.any()]
    crops = [masked_crop(pixels, inside[n], encoder.input_size) for n in shown]
    text = encoder.encode_text(prompts)
    probs = torch.zeros(len(masks), len(prompts), device=image.device)
    if crops:
        features = encoder.encode_image(torch.cat(crops))
        probs[shown] = (encoder.logit_scale * features @ text.T).softmax(dim=1)
    return torch.einsum("nk,nhw->khw", probs, masks.sigmoid()).argmax(dim=0)


def masked_crop(pixels: Tensor, mask: Tensor, size: int) -> Tensor:
    """(3,H,W) normalised pixels, (H,W) bool mask with a pixel → (1,3,S,S), 0 outside the mask."""
    rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
    box: Any = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    crop = (pixels * mask)[(slice(None), *box)]
    return F.interpolate(crop[None], size=(size, size), mode="bicubic", align_corners=False)
