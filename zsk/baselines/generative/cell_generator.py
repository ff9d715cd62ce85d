"""ZS3Net's generated features of single cells (GMMN), and the layouts that they fill.

Shape letters: B images, h x w feature map, N cells of a class, K known classes, E width of their
vectors, D of the features. A layout (B,h,w) int64 holds classes below K, and NO_CLASS elsewhere.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .feature_generator import FeatureGenerator, mmd

BANDWIDTHS = (2, 5, 10, 20, 40, 80)
NO_CLASS = -1


class CellGenerator(nn.Module):
    """Every cell has noise of its own: the features of a class are a distribution."""

    def __init__(self, network: FeatureGenerator, samples: int):
        """`samples`: cells of a class in an image, at most, whose features are compared."""
        super().__init__()
        self.network = network
        self.samples = samples

    def _generate(self, classes: Tensor, vectors: Tensor) -> Tensor:
        noise = torch.randn(len(classes), self.network.noise_dim, device=vectors.device)
        return self.network(vectors[classes], noise)

    def fill(self, layout: Tensor, vectors: Tensor) -> Tensor:
        """Layout and class vectors (K,E) -> features (N,D) of its cells, in row-major order."""
        return self._generate(layout[layout != NO_CLASS], vectors)

    def losses(
        self,
        features: Tensor,
        layout: Tensor,
        vectors: Tensor,
        class_logits: Callable[[Tensor], Tensor],
    ) -> dict[str, Tensor]:
        """The mean over images and their classes of the MMD between real and generated cells.

        Args:
            features: (B,D,h,w) of real images, without a gradient.
            layout: their classes.
            class_logits: features (N,D) -> (N,K), of a classifier that does not learn from it; for
                `GraphGenerator`.
        """
        distances = [features.new_zeros(())]
        for image, classes in zip(features, layout):
            for k in classes[classes != NO_CLASS].unique():
                real = image[:, classes == k].T
                chosen = torch.randperm(len(real), device=real.device)[: self.samples]
                generated = self._generate(k.expand(len(chosen)), vectors)
                distances.append(mmd(real[chosen], generated, BANDWIDTHS))
        return {"loss_mmd": torch.stack(distances).sum() / max(1, len(distances) - 1)}


def drawn_layout(layout: Tensor, num_classes: int) -> Tensor:
    """The layout with another class, drawn at random among all K, for each class of an image."""
    drawn = torch.randint(num_classes, (len(layout), num_classes), device=layout.device)
    classes = drawn.gather(1, layout.clamp(min=0).flatten(1)).view_as(layout)
    return torch.where(layout == NO_CLASS, NO_CLASS, classes)
