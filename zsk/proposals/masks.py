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


def region_means(features: Tensor, masks: Tensor) -> Tensor:
    """Mean features under each mask, as if they were resized to the masks by `resize_masks`.

    The masks are brought to the features instead, by the transpose of that resize: the same sums
    with much less work, since features have more channels.

    Args:
        features: (B,D,h',w'), at any resolution.
        masks: (B,N,h,w) float32 in [0,1].
    Returns:
        (B,N,D) float32; an empty mask gives 0.
    """
    area = masks.sum(dim=(2, 3)).clamp(min=1e-6).unsqueeze(-1)
    if features.shape[-2:] != masks.shape[-2:]:
        rows, columns = (
            _resizing(few, many, masks) for few, many in zip(features.shape[-2:], masks.shape[-2:])
        )
        masks = rows @ masks @ columns.T
    return torch.einsum("bnhw,bdhw->bnd", masks, features.float()) / area


def _resizing(side: int, target: int, like: Tensor) -> Tensor:
    """(side,target): bilinear resize of `side` cells to `target`, along one axis, as a matrix."""
    cells = torch.eye(side, dtype=like.dtype, device=like.device)
    return F.interpolate(cells[None], size=target, mode="linear", align_corners=False)[0]
