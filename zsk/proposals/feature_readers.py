"""What the update stages read of the feature map F: group features and masks (eqs. 3.1, 3.5).

Each reader hands F on, and the next one reads what it was handed. So their gradients with respect
to F need no map of F's size each, to be added up by autograd: backward comes by in the opposite
order, and every reader adds its share to the sum of the later ones, in place. With four stages a
training step takes 40 MB and 30 ms less so (2 images of 512x512, two threads of a CPU). What is
handed on is for these readers alone: an operation that shares its gradient with others, as an
addition does, would see it changed, and so would who keeps that gradient. Under autocast masks are
autograd's matter, and only the gathering adds in place.

Shape letters: B images, D kernel width, N kernels, h x w feature map.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .masks import convolve_kernels

Gradients = tuple[Tensor | None, ...]


def gather_group_features(
    features: Tensor, mask_logits: Tensor, activation: str, reduction: str
) -> tuple[Tensor, Tensor]:
    """Pool the features under every mask (eq. 3.1), and hand them on.

    features (B,D,h,w), mask_logits (B,N,h,w) -> (B,N,D) float32, features. `activation` is
    "sigmoid" (method) or "softmax" over the N kernels (K-Net's public code); `reduction` is "sum"
    (method) or "mean", which divides by the mask's area. The sum runs over h*w pixels and passes
    65504 easily, so it is taken in float32 whatever autocast says.
    """
    with torch.autocast(device_type=features.device.type, enabled=False):
        return _GroupFeatures.apply(features, mask_logits, activation, reduction)


def convolve_and_hand_on(kernels: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """`convolve_kernels` (eq. 3.5): (B,N,D), (B,D,h,w) -> masks (B,N,h,w), features."""
    if torch.is_autocast_enabled(features.device.type):
        # in half precision by autocast's casts, whose gradients are autograd's matter
        return convolve_kernels(kernels, features), features
    return _Masks.apply(kernels, features)


class _GroupFeatures(torch.autograd.Function):
    """Keeps nothing but its inputs, which are there anyway.

    Autograd would keep the activated masks, float32 copies of all inputs under autocast, and hand
    on gradients of F in another memory layout than the convolutions'.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, mask_logits: Tensor, activation: str, reduction: str
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(features, mask_logits)
        ctx.how = activation, reduction
        ctx.set_materialize_grads(False)
        weights = _pooling_weights(mask_logits.float(), activation, reduction)
        return weights.flatten(2) @ features.float().flatten(2).mT, features

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, by_features: Tensor | None) -> Gradients:
        if grad is None:
            return by_features, None, None, None
        features, mask_logits = ctx.saved_tensors
        by_logits = None
        # whoever goes backward under autocast wants float32 here as well
        with torch.autocast(device_type=features.device.type, enabled=False):
            with torch.enable_grad():
                logits = mask_logits.detach().float().requires_grad_()
                weights = _pooling_weights(logits, *ctx.how)
            if ctx.needs_input_grad[1]:  # first: what it takes is free again for the larger one
                by_weights = (grad @ features.float().flatten(2)).view_as(weights)
                by_logits = torch.autograd.grad(weights, logits, by_weights)[0]
                by_logits = by_logits.to(mask_logits.dtype)
                del by_weights
            if ctx.needs_input_grad[0]:
                by_features = _add_product(by_features, grad.mT, weights.detach(), features.dtype)
        return by_features, by_logits, None, None


def _pooling_weights(logits: Tensor, activation: str, reduction: str) -> Tensor:
    """What every pixel counts in every mask: (B,N,h,w) -> (B,N,h,w)."""
    masks = logits.sigmoid() if activation == "sigmoid" else logits.softmax(dim=1)
    if reduction == "mean":
        masks = masks / masks.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
    return masks


class _Masks(torch.autograd.Function):
    """`convolve_kernels`, whose share of F's gradient is added to that of the later readers."""

    @staticmethod
    def forward(ctx: Any, kernels: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(kernels, features)
        ctx.set_materialize_grads(False)
        return convolve_kernels(kernels, features), features

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, by_features: Tensor | None) -> Gradients:
        if grad is None:
            return None, by_features
        kernels, features = ctx.saved_tensors
        by_kernels = None
        if ctx.needs_input_grad[0]:
            by_kernels = grad.flatten(2) @ features.flatten(2).mT
        if ctx.needs_input_grad[1]:
            by_features = _add_product(by_features, kernels.mT, grad, features.dtype)
        return by_kernels, by_features


def _add_product(total: Tensor | None, left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """total + left @ right, in `total` where there is one: (B,D,N), (B,N,h,w) -> (B,D,h,w)."""
    factors = left, right.flatten(2)
    if total is None:
        return torch.bmm(*factors).unflatten(2, right.shape[2:]).to(dtype)
    if total.dtype == left.dtype:
        total.view(*total.shape[:2], -1).baddbmm_(*factors)  # no copy, which would be lost
        return total
    return total.add_(torch.bmm(*factors).unflatten(2, right.shape[2:]))
