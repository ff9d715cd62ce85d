"""Norms of the heads (MODEL.SEM_SEG_HEAD.NORM), and convolutions with them."""

import torch
from detectron2.layers import Conv2d, get_norm
from torch import Tensor, nn

NORM_GROUPS = 32  # of Detectron2's GN


class GroupNorm(nn.GroupNorm):
    """torch's, which refuses groups of one value: a photo of one cell, in a narrow head.

    Such a value is its own mean, so the bias comes out.
    """

    def forward(self, values: Tensor) -> Tensor:
        """(B,C,…) -> the same shape."""
        return torch.group_norm(values, self.num_groups, self.weight, self.bias, self.eps)


def build_norm(norm: str, channels: int) -> nn.Module | None:
    """Detectron2's norms by name, with `GroupNorm` for GN; "" is none."""
    if norm == "GN":
        return GroupNorm(NORM_GROUPS, channels)
    found: nn.Module | None = get_norm(norm, channels)
    return found


def conv(inputs: int, outputs: int, size: int, norm: str, activate: bool = True) -> Conv2d:
    """Detectron2's convolution that keeps the resolution, with a norm ("": a bias) and a ReLU."""
    return Conv2d(
        *(inputs, outputs, size),
        padding=size // 2,
        bias=not norm,
        norm=build_norm(norm, outputs),
        activation=nn.ReLU(inplace=True) if activate else None,
    )
