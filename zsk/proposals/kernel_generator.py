"""Kernel generator: backbone features -> feature map F, kernels K_0 and masks M_0 (section 1.2).

Shape letters: B images, D kernel width, N kernels, h x w feature map, C backbone channels.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from .masks import convolve_kernels


class StaticKernels(nn.Module):
    """N learned kernels, the same for every image: the weights of a last 1x1 convolution on F."""

    def __init__(self, num_kernels: int, dim: int, bias: bool = False):
        """`bias`: that convolution has one (N,), which shifts M_0 (K-Net's code)."""
        super().__init__()
        self.init_kernels = nn.Parameter(torch.empty(num_kernels, dim))
        nn.init.normal_(self.init_kernels, std=0.01)
        self.bias = nn.Parameter(torch.zeros(num_kernels)) if bias else None

    def forward(
        self, features: Tensor, backbone_features: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """F (B,D,h,w) -> K_0 (B,N,D), M_0 (B,N,h,w); the backbone's features play no part."""
        kernels = self.init_kernels.expand(features.shape[0], -1, -1)
        masks = convolve_kernels(kernels, features)
        return kernels, masks if self.bias is None else masks + self.bias[:, None, None]


class KernelGenerator(nn.Module):
    """F, then K_0 and M_0 on it."""

    def __init__(
        self,
        feature_map: Callable[[Mapping[str, Tensor]], Tensor],
        kernels: nn.Module,
        cluster_features: Sequence[str] = (),
    ):
        """
        Args:
            feature_map: backbone features -> F (B,D,h,w): `AsppFeatures` (method), a
                `PixelDecoder`, or one of the features itself.
            kernels: `StaticKernels` (method) or `ClusterKernels`.
            cluster_features: the backbone features handed to `kernels`.
        """
        super().__init__()
        self.feature_map = feature_map
        self.kernels = kernels
        self.cluster_features = tuple(cluster_features)

    def forward(self, features: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Backbone features -> F (B,D,h,w), K_0 (B,N,D), M_0 (B,N,h,w) logits."""
        feature_map = self.feature_map(features)
        clustered = [features[name] for name in self.cluster_features]
        kernels, masks = self.kernels(feature_map, clustered)
        return feature_map, kernels, masks
