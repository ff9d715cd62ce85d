"""Backbone features -> feature map F, for kernels to be applied to or to be read pixel by pixel.

Shape letters: B images, D width, h x w feature map, C backbone channels.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from detectron2.layers import ASPP, Conv2d, ShapeSpec, get_norm
from torch import Tensor, nn

from .dilated_conv import DilatedConv2d
from .resized_conv import conv_of_resized


class FineFusion(nn.Module):
    """Brings F to the stride of an early backbone feature (4 with res2), DeepLabV3+'s way."""

    def __init__(self, fine_channels: int, dim: int, norm: str, reduced_channels: int = 48):
        super().__init__()
        self.reduce = Conv2d(
            fine_channels,
            reduced_channels,
            1,
            bias=not norm,
            norm=get_norm(norm if reduced_channels % 32 == 0 else "", reduced_channels),
            activation=nn.ReLU(inplace=True),
        )
        self.fuse = Conv2d(
            dim + reduced_channels,
            dim,
            3,
            padding=1,
            bias=not norm,
            norm=get_norm(norm, dim),
            activation=nn.ReLU(inplace=True),
        )

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """coarse (B,D,h,w), fine (B,C,h',w') -> (B,D,h',w')."""
        reduced = self.reduce(fine)
        if reduced.device.type == "cpu":
            reduced = reduced.contiguous()  # so F is, and `conv_of_resized` is on a CPU
        # a convolution of two maps side by side is the sum of one of each
        by_coarse, by_fine = self.fuse.weight.split([coarse.shape[1], reduced.shape[1]], dim=1)
        fused = F.conv2d(reduced, by_fine, self.fuse.bias, padding=1)
        # added to this one, not to the other: that may be a view, for which autograd copies maps
        fused = fused.add_(conv_of_resized(coarse, by_coarse, fine.shape[-2:]))
        if self.fuse.norm is not None:
            fused = self.fuse.norm(fused)
        return self.fuse.activation(fused)


class GlobalMean(nn.Module):
    """`nn.AdaptiveAvgPool2d(1)`, whose gradient is one number a channel, expanded, not a map.

    (In single precision.) To a map autograd would add the other branches' gradients in that map's
    layout, not in theirs, which takes 60 ms of a training step (2 maps of 2048x32x32, two threads
    of a CPU).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,h,w) -> (B,C,1,1); half precision is summed in single, or it would overflow."""
        total = x.sum((2, 3), keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
        return (total / (x.shape[2] * x.shape[3])).to(x.dtype)


class AsppFeatures(nn.Module):
    """ASPP on a coarse feature and optional fusion with a fine one: what heads build upon."""

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
        # The same layers, whose gradient alone is worked out otherwise: after the 1x1 convolution
        # the dilated ones, then the pooled branch.
        for conv in self.aspp.convs[1:-1]:
            assert (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), conv.dilation)
            conv.__class__ = DilatedConv2d
        pooled = self.aspp.convs[-1]
        assert isinstance(pooled[0], nn.AdaptiveAvgPool2d)
        pooled[0] = GlobalMean()
        self.project = Conv2d(
            aspp_channels,
            dim,
            3,
            padding=1,
            bias=not norm,
            norm=get_norm(norm, dim),
            activation=nn.ReLU(inplace=True),
        )
        self.fusion = (
            FineFusion(input_shape[fine_feature].channels, dim, norm) if fine_feature else None
        )

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Backbone features -> F (B,D,h,w)."""
        feature_map = self.project(self.aspp(features[self.in_feature]))
        if self.fusion is not None:
            feature_map = self.fusion(feature_map, features[self.fine_feature])
        return feature_map
