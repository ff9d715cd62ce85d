"""DeepLabV2's ASPP, which SPNet, CaGNet, SIGN, STRICT and JoEm read a ResNet-101 of stride 8 with.

Shape letters: B images, C backbone channels, h x w feature map.
"""

from collections.abc import Sequence

import torch
from detectron2.layers import Conv2d
from torch import Tensor, nn

INIT_STD = 0.01


class AsppSum(nn.Module):
    """DeepLabV2's ASPP: the sum of dilated 3x3 convolutions, without norm and activation."""

    def __init__(self, channels: int, dim: int, dilations: Sequence[int]):
        super().__init__()
        self.branches = nn.ModuleList()
        for dilation in dilations:
            branch = Conv2d(channels, dim, 3, padding=dilation, dilation=dilation)
            nn.init.normal_(branch.weight, std=INIT_STD)
            nn.init.zeros_(branch.bias)
            self.branches.append(branch)

    def forward(self, features: Tensor) -> Tensor:
        """(B,C,h,w) -> (B,dim,h,w)."""
        return torch.stack([branch(features) for branch in self.branches]).sum(dim=0)
