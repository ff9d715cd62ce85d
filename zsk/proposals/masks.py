"""Pure functions on mask logits. Shape letters: B images, N kernels, D width, h x w feature map."""

import weakref
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_KERNELS = "zsk_kernels"  # the attribute that `convolve_kernels` leaves on its masks


def convolve_kernels(kernels: Tensor, features: Tensor) -> Tensor:
    """Kernels as 1x1 convolutions on the features (eq. 3.5): (B,N,D), (B,D,h,w) -> (B,N,h,w)."""
    masks = torch.bmm(kernels, features.flatten(2)).unflatten(2, features.shape[2:])
    if torch.is_grad_enabled():
        setattr(masks, _KERNELS, (kernels, weakref.ref(features), masks._version))
    return masks


def kernels_of(masks: Tensor, features: Tensor) -> Tensor | None:
    """What `convolve_kernels` made just these masks of, on these features, while it was recorded.

    Masks are the largest thing that backward needs of an update stage, and quickly made again.
    """
    kernels, convolved, version = getattr(masks, _KERNELS, (None, lambda: None, 0))
    unchanged = convolved() is features and masks._version == version  # nothing done in place
    return kernels if unchanged else None


def resize_masks(masks: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear resize of (B,N,h,w) logits to `size`; no copy when they have it already."""
    if tuple(masks.shape[-2:]) == tuple(size):
        return masks
    return F.interpolate(masks, size=tuple(size), mode="bilinear", align_corners=False)
