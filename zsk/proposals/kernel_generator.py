"""Kernel generator: backbone features -> feature map F, kernels K_0 and masks M_0 (section 1.2).

Shape letters: B images, D kernel width, N kernels, h x w feature map, C backbone channels.
"""

from collections.abc import Mapping, Sequence

import torch
from detectron2.layers import ASPP, Conv2d, ShapeSpec, get_norm
from torch import Tensor, nn

from .masks import convolve_kernels, resize_masks


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
        coarse = resize_masks(coarse, fine.shape[-2:])
        return self.fuse(torch.cat([coarse, self.reduce(fine)], dim=1))


class StaticKernels(nn.Module):
    """N learned kernels, the same for every image: the weights of a last 1x1 convolution on F."""

    def __init__(self, num_kernels: int, dim: int):
        super().__init__()
        self.init_kernels = nn.Parameter(torch.empty(num_kernels, dim))
        nn.init.normal_(self.init_kernels, std=0.01)

    def forward(
        self, features: Tensor, backbone_features: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """F (B,D,h,w) -> K_0 (B,N,D), M_0 (B,N,h,w); the backbone's features play no part."""
        kernels = self.init_kernels.expand(features.shape[0], -1, -1)
        return kernels, convolve_kernels(kernels, features)


class KernelGenerator(nn.Module):
    """ASPP on the coarse feature, optional fusion with a fine one, then K_0 and M_0."""

    def __init__(
        self,
        input_shape: Mapping[str, ShapeSpec],
        *,
        in_feature: str,
        fine_feature: str,
        cluster_features: Sequence[str],
        aspp_dilations: list[int],
        aspp_channels: int,
        dim: int,
        norm: str,
        kernels: nn.Module,
    ):
        """
        Args:
            in_feature: the backbone feature that ASPP reads ("res5"); its stride is the output
                stride unless `fine_feature` ("res2": stride 4) is given; "" means no fusion.
            cluster_features: the backbone features handed to `kernels`.
            kernels: `StaticKernels` (method) or `ClusterKernels`.
        """
        super().__init__()
        self.in_feature = in_feature
        self.fine_feature = fine_feature
        self.cluster_features = tuple(cluster_features)
        self.aspp = ASPP(
            input_shape[in_feature].channels,
            aspp_channels,
            aspp_dilations,
            norm=norm,
            activation=nn.ReLU(inplace=True),
        )
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
        self.kernels = kernels

    def forward(self, features: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Backbone features -> F (B,D,h,w), K_0 (B,N,D), M_0 (B,N,h,w) logits."""
        feature_map = self.project(self.aspp(features[self.in_feature]))
        if self.fusion is not None:
            feature_map = self.fusion(feature_map, features[self.fine_feature])
        clustered = [features[name] for name in self.cluster_features]
        kernels, masks = self.kernels(feature_map, clustered)
        return feature_map, kernels, masks
