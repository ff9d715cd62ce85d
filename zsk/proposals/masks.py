"""Pure functions on mask logits. Shape letters: B images, N kernels, D width, h x w feature map."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def convolve_kernels(kernels: Tensor, features: Tensor) -> Tensor:
    """Kernels as 1x1 convolutions on the features (eq. 3.5): (B,N,D), (B,D,h,w) -> (B,N,h,w)."""
    return torch.einsum("bnd,bdhw->bnhw", kernels, features)


def resize_masks(masks: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear resize of (B,N,h,w) logits to `size`; no copy when they have it already."""
    if tuple(masks.shape[-2:]) == tuple(size):
        return masks
    return F.interpolate(masks, size=tuple(size), mode="bilinear", align_corners=False)
