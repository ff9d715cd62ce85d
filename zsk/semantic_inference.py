"""Proposals and their class probabilities -> a label map: pure functions (section 4).

Shape letters: N proposals, K classes, h x w masks, H x W image.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

STRIP_VALUES = 32_000_000  # floats in the largest tensor of a strip: 128 MB


def label_map(probs: Tensor, mask_logits: Tensor, size: tuple[int, int]) -> Tensor:
    """score_k(u,v) = sum_n p_n(k) sigma(M)_n(u,v), then the argmax over k.

    probs (N,K), mask_logits (N,h,w), size (H,W) -> (H,W) int64 in [0,K). The logits are resized to
    the image, bilinearly, a strip of rows at a time: scores of K x H x W never exist as a whole, so
    memory does not grow with the photo's height times the vocabulary.
    """
    height, width = size
    rows = max(1, STRIP_VALUES // (width * max(probs.shape)))
    return torch.cat(
        [
            _label(probs, resize_rows(mask_logits, height, width, top, min(top + rows, height)))
            for top in range(0, height, rows)
        ]
    )


def _label(probs: Tensor, logits: Tensor) -> Tensor:
    return torch.einsum("nk,nhw->khw", probs, logits.sigmoid()).argmax(dim=0)


def resize_rows(maps: Tensor, height: int, width: int, top: int, bottom: int) -> Tensor:
    """Rows [top, bottom) of (N,h,w) resized to height x width: bilinear, corners not aligned."""
    h = maps.shape[1]
    rows = torch.arange(top, bottom, device=maps.device, dtype=torch.float32)
    source = ((rows + 0.5) * (h / height) - 0.5).clamp(min=0)
    above = source.floor().long().clamp(max=h - 1)
    below = (above + 1).clamp(max=h - 1)
    weight = (source - above)[:, None].to(maps.dtype)
    strip = torch.lerp(maps[:, above], maps[:, below], weight)
    return F.interpolate(
        strip[None], size=(bottom - top, width), mode="bilinear", align_corners=False
    )[0]
