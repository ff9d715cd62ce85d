"""CaGNet's contextual module (Gu et al., ACM MM 2020): what surrounds a cell, as a random latent.

Shape letters: B images, C channels in, D width of the features, h x w feature map.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from detectron2.layers import Conv2d
from torch import Tensor, nn

DILATIONS = (1, 2, 5)


class Context(NamedTuple):
    """A normal distribution for each channel and cell, and a draw from it; all (B,D,h,w)."""

    mean: Tensor
    log_variance: Tensor  # >= 0, which is published code's ReLU and not in the paper
    latent: Tensor  # in evaluation the mean

    def divergence(self) -> Tensor:
        """The Kullback-Leibler divergence from N(0,1), of each channel and cell (B,D,h,w)."""
        return (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance) / 2


class DilatedContext(nn.Module):
    """(B,C,h,w) -> (B,D,h,w) >= 0: three convolutions in a row, weighed by cell and merged."""

    def __init__(self, channels: int, width: int, dim: int):
        """`width`: of each convolution."""
        super().__init__()
        self.convolutions = nn.ModuleList()
        for dilation in DILATIONS:
            self.convolutions.append(
                Conv2d(channels, width, 3, padding=dilation, dilation=dilation, bias=False)
            )
            channels = width
        self.scale_weights = Conv2d(len(DILATIONS) * width, len(DILATIONS), 3, padding=1)
        self.merge = Conv2d(len(DILATIONS) * width, dim, 1)

    def forward(self, maps: Tensor) -> Tensor:
        found = []
        for convolution in self.convolutions:
            maps = F.relu(convolution(maps))
            found.append(maps)
        weights = self.scale_weights(torch.cat(found, dim=1)).sigmoid().split(1, dim=1)
        weighed = [one * weight for one, weight in zip(found, weights)]
        return F.relu(self.merge(torch.cat(weighed, dim=1)))


class ContextModule(nn.Module):
    """Maps (B,D,h,w) -> the `Context` of their cells."""

    def __init__(self, dim: int, width: int):
        super().__init__()
        self.surroundings = DilatedContext(dim, width, dim)
        self.mean = Conv2d(dim, dim, 3, padding=1)
        self.log_variance = Conv2d(dim, dim, 3, padding=1)

    def forward(self, maps: Tensor) -> Context:
        surroundings = self.surroundings(maps)
        mean = self.mean(surroundings).float()
        log_variance = F.relu(self.log_variance(surroundings).float())
        if not self.training:
            return Context(mean, log_variance, mean)
        noise = torch.randn_like(mean)
        return Context(mean, log_variance, mean + (log_variance / 2).exp() * noise)
