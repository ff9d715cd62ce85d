"""Backbone features -> feature map F, for kernels to be applied to or to be read pixel by pixel.

Shape letters: B images, D width, h x w feature map, C backbone channels.
"""

import weakref
from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from detectron2.layers import ASPP, Conv2d, ShapeSpec, get_norm
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

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
        # What backward needs, the largest maps of the head but F, is computed again there, which
        # costs 1 % of a training step: not where that would change a norm's running statistics.
        norm = self.fuse.norm
        if torch.is_grad_enabled() and (norm is None or isinstance(norm, nn.GroupNorm)):
            return checkpoint(
                self._fused, coarse, fine, use_reentrant=False, preserve_rng_state=False
            )
        return self._fused(coarse, fine)

    def _fused(self, coarse: Tensor, fine: Tensor) -> Tensor:
        reduced = self.reduce(fine)
        # a convolution of two maps side by side is the sum of one of each
        by_coarse, by_fine = self.fuse.weight.split([coarse.shape[1], reduced.shape[1]], dim=1)
        fused = F.conv2d(reduced, by_fine, self.fuse.bias, padding=1)
        fused = conv_of_resized(coarse, by_coarse, fine.shape[-2:]).add_(fused)
        if self.fuse.norm is not None:
            fused = self.fuse.norm(fused)
        return self.fuse.activation(fused)


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
        # The same layers, whose gradient alone is worked out otherwise. They come after the 1x1
        # convolution and before the pooled branch.
        for conv in self.aspp.convs[1:-1]:
            assert (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), conv.dilation)
            conv.__class__ = DilatedConv2d
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
        coarse = features[self.in_feature]
        if coarse.device.type == "cpu":
            # the library then skips taps that read nothing but padding, 43 % of them at 32x32 and
            # dilations 6, 12 and 18: a training step's ASPP takes 0.87 of the time, copy included
            channels_last = coarse.contiguous(memory_format=torch.channels_last)
            with _kept_as(coarse, channels_last):
                pyramid = self.aspp(channels_last)
        else:
            pyramid = self.aspp(coarse)
        feature_map = self.project(pyramid)
        if self.fusion is not None:
            feature_map = self.fusion(feature_map, features[self.fine_feature])
        return feature_map


def _kept_as(original: Tensor, copy: Tensor) -> AbstractContextManager[None]:
    """Where backward needs `copy`, it is made again of `original`, which the backbone keeps."""
    made = weakref.ref(copy)  # the graph holds on to the hooks

    def pack(saved: Tensor) -> Tensor | None:
        return None if saved is made() else saved

    def unpack(saved: Tensor | None) -> Tensor:
        if saved is not None:
            return saved
        return original.detach().contiguous(memory_format=torch.channels_last)

    return torch.autograd.graph.saved_tensors_hooks(pack, unpack)
