"""DeepLabV2's ASPP, which SPNet, CaGNet, SIGN, STRICT and JoEm read a ResNet-101 of stride 8 with.

Shape letters: B images, C backbone channels, h x w feature map.
"""

from collections.abc import Mapping, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.layers import Conv2d
from torch import Tensor, nn

from .pixel_head import Shapes, check_pixel_settings

INIT_STD = 0.01


class AsppSum(nn.Module):
    """The sum of dilated 3x3 convolutions of one backbone feature, without norm and activation."""

    def __init__(self, in_feature: str, channels: int, dim: int, dilations: Sequence[int]):
        super().__init__()
        self.in_feature = in_feature
        self.branches = nn.ModuleList()
        for dilation in dilations:
            branch = Conv2d(channels, dim, 3, padding=dilation, dilation=dilation)
            nn.init.normal_(branch.weight, std=INIT_STD)
            nn.init.zeros_(branch.bias)
            self.branches.append(branch)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Backbone features, `in_feature` (B,C,h,w) -> (B,dim,h,w)."""
        maps = features[self.in_feature]
        return torch.stack([branch(maps) for branch in self.branches]).sum(dim=0)


def build_aspp_sum(cfg: CfgNode, input_shape: Shapes, dim: int) -> AsppSum:
    """The ASPP of the one feature in MODEL.SEM_SEG_HEAD. Raises UserError: it is not the one."""
    check_pixel_settings(cfg, input_shape)
    head = cfg.MODEL.SEM_SEG_HEAD
    name = head.IN_FEATURES[0]
    return AsppSum(name, int(input_shape[name].channels or 0), dim, head.ASPP_DILATIONS)
