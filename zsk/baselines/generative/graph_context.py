"""ZS3Net's graph context: a feature for each segment of a layout, made beside its neighbours.

Shape letters: B images, h x w feature map, N nodes of all images, K known classes, E width of their
vectors, Z of the noise, D of the features. Layouts are those of `cell_generator`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from zsk.baselines.per_pixel.pixel_head import labelled_cross_entropy

from .cell_generator import BANDWIDTHS, NO_CLASS
from .feature_generator import NEGATIVE_SLOPE, mmd

NODE_LOSS_WEIGHT = 0.1
EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


class SegmentGraph(NamedTuple):
    """The 8-connected segments of layouts; edges join segments that touch."""

    nodes: Tensor  # (B,h,w) int64 below N, -1 where the layout has no class
    classes: Tensor  # (N,) int64
    images: Tensor  # (N,) int64 below B
    edges: Tensor  # (N,N) bool, symmetric, False on the diagonal


def segment_graph(layout: Tensor) -> SegmentGraph:
    """Layout (B,h,w) -> its graph, on the same device."""
    maps = layout.cpu().numpy()
    nodes = np.full_like(maps, -1)
    classes: list[int] = []
    images: list[int] = []
    for i, image in enumerate(maps):
        for k in np.unique(image[image != NO_CLASS]):
            parts, count = ndimage.label(image == k, EIGHT_NEIGHBOURS)
            nodes[i][parts > 0] = parts[parts > 0] + (len(classes) - 1)
            classes += [int(k)] * count
            images += [i] * count
    edges = np.zeros((len(classes), len(classes)), dtype=bool)
    for one, other in (
        (nodes[:, :, 1:], nodes[:, :, :-1]),
        (nodes[:, 1:], nodes[:, :-1]),
        (nodes[:, 1:, 1:], nodes[:, :-1, :-1]),
        (nodes[:, 1:, :-1], nodes[:, :-1, 1:]),
    ):
        touch = (one != other) & (one >= 0) & (other >= 0)
        edges[one[touch], other[touch]] = edges[other[touch], one[touch]] = True
    lists = torch.tensor([classes, images], dtype=torch.int64)
    tensors = (torch.from_numpy(nodes), *lists, torch.from_numpy(edges))
    return SegmentGraph(*(tensor.to(layout.device) for tensor in tensors))


def node_features(features: Tensor, graph: SegmentGraph) -> Tensor:
    """Features (B,D,h,w) -> the mean (N,D) of each node's cells."""
    inside = graph.nodes >= 0
    nodes, cells = graph.nodes[inside], features.permute(0, 2, 3, 1)[inside]
    count = len(graph.classes)
    sums = cells.new_zeros(count, cells.shape[1]).index_add(0, nodes, cells)
    return sums / nodes.bincount(minlength=count)[:, None]


class GraphGenerator(nn.Module):
    """Graph convolutions: every layer has weights for a node and for the mean of its neighbours."""

    def __init__(
        self,
        vector_dim: int,
        noise_dim: int,
        hidden_dims: Sequence[int],
        feature_dim: int,
        dropout: Sequence[float],
        squash: bool = False,
    ):
        """Arguments as those of `FeatureGenerator`."""
        super().__init__()
        assert len(dropout) == len(hidden_dims)
        widths = [vector_dim + noise_dim, *hidden_dims, feature_dim]
        # of their own: with the same weights, two nodes with no other neighbours would be the same
        self.layers = nn.ModuleList(
            nn.Linear(2 * width, following) for width, following in zip(widths, widths[1:])
        )
        self.dropout = list(dropout)
        self.noise_dim = noise_dim
        self.squash = squash

    def forward(self, vectors: Tensor, noise: Tensor, edges: Tensor) -> Tensor:
        """Class vectors (N,E), noise (N,Z) and edges (N,N) bool of nodes -> features (N,D)."""
        mean = edges / edges.sum(dim=1, keepdim=True).clamp(min=1)
        values = torch.cat([vectors, noise], dim=1)
        for i, layer in enumerate(self.layers):
            if i:
                values = F.leaky_relu(values, NEGATIVE_SLOPE)
                values = F.dropout(values, self.dropout[i - 1], self.training)
            values = layer(torch.cat([values, mean @ values], dim=1))
        return values.sigmoid() if self.squash else values

    def _generate(self, graph: SegmentGraph, vectors: Tensor) -> Tensor:
        noise = torch.randn(len(graph.classes), self.noise_dim, device=vectors.device)
        return self(vectors[graph.classes], noise, graph.edges)

    def fill(self, layout: Tensor, vectors: Tensor) -> Tensor:
        """As `CellGenerator.fill`: all cells of a segment have one feature."""
        graph = segment_graph(layout)
        return self._generate(graph, vectors)[graph.nodes[graph.nodes >= 0]]

    def losses(
        self,
        features: Tensor,
        layout: Tensor,
        vectors: Tensor,
        class_logits: Callable[[Tensor], Tensor],
    ) -> dict[str, Tensor]:
        """The mean over images of the MMD of their nodes, and the cross-entropy of the nodes.

        Arguments as those of `CellGenerator.losses`.
        """
        graph = segment_graph(layout)
        real, generated = node_features(features, graph), self._generate(graph, vectors)
        distances = [features.new_zeros(())]
        for image in graph.images.unique():
            here = graph.images == image
            distances.append(mmd(real[here], generated[here], BANDWIDTHS))
        errors = labelled_cross_entropy(class_logits(generated), graph.classes)
        return {
            "loss_mmd": torch.stack(distances).sum() / max(1, len(distances) - 1),
            "loss_nodes": NODE_LOSS_WEIGHT * errors,
        }
