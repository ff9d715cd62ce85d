"""Features of a class made from its vector and noise, and the distance to real ones (MMD).

GMMN's two layers (ZS3Net: Bucher et al., NeurIPS 2019) and CaGNet's six (Gu et al., ACM MM 2020)
are the same module. Shape letters: M cells, m and n samples, E width of the class vectors, Z of the
noise or context, D of the features.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

NEGATIVE_SLOPE = 0.2


class FeatureGenerator(nn.Module):
    """Class vectors (M,E) and noise or context (M,Z) -> features (M,D)."""

    def __init__(
        self,
        vector_dim: int,
        noise_dim: int,
        hidden_dims: Sequence[int],
        feature_dim: int,
        dropout: Sequence[float],
        squash: bool = False,
    ):
        """
        Args:
            hidden_dims: widths of the hidden layers, each with LeakyReLU.
            dropout: behind each hidden layer.
            squash: features are sigmoids, as CaGNet's real ones are.
        """
        super().__init__()
        layers: list[nn.Module] = []
        width = vector_dim + noise_dim
        for hidden, share in zip(hidden_dims, dropout, strict=True):
            layers += [nn.Linear(width, hidden), nn.LeakyReLU(NEGATIVE_SLOPE), nn.Dropout(share)]
            width = hidden
        layers.append(nn.Linear(width, feature_dim))
        if squash:
            layers.append(nn.Sigmoid())
        self.layers = nn.Sequential(*layers)
        self.noise_dim = noise_dim

    def forward(self, vectors: Tensor, noise: Tensor) -> Tensor:
        return self.layers(torch.cat([vectors, noise], dim=1))


def mmd(real: Tensor, generated: Tensor, bandwidths: Sequence[float]) -> Tensor:
    """The maximum mean discrepancy of features (m,D) and (n,D), a scalar of 0 or more; m, n >= 1.

    The square root of the biased estimate with the kernel exp(-|x-y|^2 / (2 s)), summed over the
    bandwidths s (Li et al., ICML 2015; bandwidths: ZS3Net and CaGNet).
    """
    both = torch.cat([real, generated]).float()
    lengths = both.square().sum(dim=1)
    # a product in half precision would be off by as much as the features are apart
    with torch.autocast(device_type=both.device.type, enabled=False):
        squared = (lengths[:, None] + lengths - 2 * both @ both.T).clamp(min=0)
    kernel = torch.stack([torch.exp(-squared / (2 * s)) for s in bandwidths]).sum(dim=0)
    m = len(real)
    distance = kernel[:m, :m].mean() + kernel[m:, m:].mean() - 2 * kernel[:m, m:].mean()
    # the gradient of a square root is infinite at 0
    return distance.clamp(min=1e-8).sqrt()
