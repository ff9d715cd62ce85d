"""ASPP features: backbone features -> feature map F (section 1.2).

Shape letters: B images, D width, h x w feature map, C backbone channels.
"""

from collections.abc import Mapping

import torch
from detectron2.layers import ASPP, Conv2d, ShapeSpec
from torch import Tensor, nn

from .masks import resize_masks
from .norm import conv

REDUCED_CHANNELS = 48  # of the early feature, as in DeepLabV3+


class FineFusion(nn.Module):
    """Fuses F with an early backbone feature (stride 4 with res2), in the manner of DeepLabV3+.

    The early feature is reduced without a norm: its channels do not divide into GN's 32 groups.
    """

    def __init__(self, fine_channels: int, dim: int, norm: str):
        super().__init__()
        relu = nn.ReLU(inplace=True)
        self.reduce = Conv2d(fine_channels, REDUCED_CHANNELS, 1, bias=not norm, activation=relu)
        self.fuse = conv(dim + REDUCED_CHANNELS, dim, 3, norm)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """coarse (B,D,h,w), fine (B,C,h',w') -> (B,D,h',w')."""
        coarse = resize_masks(coarse, fine.shape[-2:])
        return self.fuse(torch.cat([coarse, self.reduce(fine)], dim=1))


class AsppFeatures(nn.Module):
    """ASPP on a coarse feature and optional fusion with a fine one."""

    def __init__(
        self,
        input_shape: Mapping[str, ShapeSpec],
        *,
        in_feature: str,
        fine_feature: str,
        aspp_dilations: list[int],
        aspp_channels: int,
        dim: int,
        norm: str,
    ):
        """
        Args:
            in_feature: the backbone feature that ASPP reads ("res5"); its stride is the output
                stride unless `fine_feature` ("res2": stride 4) is given; "" means no fusion.
        """
        super().__init__()
        self.in_feature = in_feature
        self.fine_feature = fine_feature
        self.aspp = ASPP(
            input_shape[in_feature].channels,
            aspp_channels,
            aspp_dilations,
            norm=norm,
            activation=nn.ReLU(inplace=True),
        )
        self.project = conv(aspp_channels, dim, 3, norm)
        self.fusion = (
            FineFusion(input_shape[fine_feature].channels, dim, norm) if fine_feature else None
        )

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Backbone features -> F (B,D,h,w)."""
        feature_map = self.project(self.aspp(features[self.in_feature]))
        if self.fusion is not None:
            feature_map = self.fusion(feature_map, features[self.fine_feature])
        return feature_map
