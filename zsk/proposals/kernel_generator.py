"""Kernel generator: backbone features -> feature map F, kernels K_0 and masks M_0 (section 1.2).

Shape letters: B images, D kernel width, N kernels, h x w feature map, C backbone channels.
"""

from collections.abc import Mapping, Sequence

import torch
from detectron2.layers import ShapeSpec
from torch import Tensor, nn

from .aspp_features import AsppFeatures
from .masks import convolve_kernels


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


class KernelGenerator(AsppFeatures):
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
            cluster_features: the backbone features handed to `kernels`.
            kernels: `StaticKernels` (method) or `ClusterKernels`.
            others: as in `AsppFeatures`.
        """
        super().__init__(
            input_shape,
            in_feature=in_feature,
            fine_feature=fine_feature,
            aspp_dilations=aspp_dilations,
            aspp_channels=aspp_channels,
            dim=dim,
            norm=norm,
        )
        self.cluster_features = tuple(cluster_features)
        self.kernels = kernels

    def forward(self, features: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Backbone features -> F (B,D,h,w), K_0 (B,N,D), M_0 (B,N,h,w) logits."""
        feature_map = self.feature_map(features)
        clustered = [features[name] for name in self.cluster_features]
        kernels, masks = self.kernels(feature_map, clustered)
        return feature_map, kernels, masks
