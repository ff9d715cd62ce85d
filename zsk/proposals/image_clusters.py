"""Kernels from clusters of the image: k-means on the features of the backbone.

A choice of this project, beside the learned K_0 of the method: with few training photos clusters
of frozen features are better regions than those of learned kernels. Several cluster counts side by
side give coarse and fine regions.

Shape letters: B images, D kernel width, N kernels, C backbone channels, P pixels, k clusters.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .masks import region_means, resize_masks


def farthest_points(points: Tensor, count: int) -> Tensor:
    """Deterministic k-means seeds: (B,P,C) -> indices (B,count), each farthest from those before.

    The first is the point farthest from the mean. With fewer than `count` points some repeat.
    """
    batch = torch.arange(points.shape[0], device=points.device)
    norms = points.square().sum(dim=2)

    def distances(centres: Tensor) -> Tensor:
        """(B,C) -> (B,P), squared; as one product, no (B,P,C) difference is made."""
        products = (points @ centres.unsqueeze(2)).squeeze(2)
        return norms - 2 * products + centres.square().sum(dim=1, keepdim=True)

    chosen = [distances(points.mean(dim=1)).argmax(dim=1)]
    nearest = torch.full_like(norms, float("inf"))
    for _ in range(count - 1):
        nearest = torch.minimum(nearest, distances(points[batch, chosen[-1]]))
        nearest[batch, chosen[-1]] = 0.0  # exactly, without rounding
        chosen.append(nearest.argmax(dim=1))
    return torch.stack(chosen, dim=1)


def kmeans(points: Tensor, seeds: Tensor, iterations: int) -> Tensor:
    """Lloyd's algorithm: points (B,P,C), seeds (B,k) indices -> clusters (B,P) int64 in [0, k)."""
    centres = torch.gather(points, 1, seeds.unsqueeze(-1).expand(-1, -1, points.shape[2]))
    count = seeds.shape[1]
    for step in range(iterations + 1):
        # argmin of the squared distance; the points' own norms do not matter
        distance = centres.square().sum(dim=2).unsqueeze(1) - points @ (2 * centres).transpose(1, 2)
        assignment = distance.argmin(dim=2)
        if step < iterations:
            members = F.one_hot(assignment, count).to(points.dtype)
            sizes = members.sum(dim=1).unsqueeze(-1)
            means = members.transpose(1, 2) @ points / sizes.clamp(min=1)
            centres = torch.where(sizes > 0, means, centres)
    return assignment


@torch.no_grad()
def cluster_masks(features: Sequence[Tensor], counts: Sequence[int], iterations: int = 5) -> Tensor:
    """Partitions of an image by its features: one of `count` masks for each of `counts`.

    Every feature (B,C_i,h_i,w_i) is resized to the first one's h x w, centred and normalised per
    image, so that all weigh the same and distance is that of directions.
    Returns (B,sum(counts),h,w) float32 in {0,1}.
    """
    b, _, h, w = features[0].shape
    parts = []
    for feature in features:
        part = resize_masks(feature.detach().float(), (h, w)).flatten(2).transpose(1, 2)
        parts.append(F.normalize(part - part.mean(dim=1, keepdim=True), dim=2))
    points = torch.cat(parts, dim=2)
    seeds = farthest_points(points, max(counts))
    masks = [
        F.one_hot(kmeans(points, seeds[:, :count], iterations), count).transpose(1, 2)
        for count in counts
    ]
    return torch.cat(masks, dim=1).reshape(b, -1, h, w).float()


class ClusterKernels(nn.Module):
    """K_0 from the features under each cluster, M_0 the clusters themselves."""

    def __init__(self, counts: Sequence[int], dim: int | None, logit: float = 2.0):
        """
        Args:
            dim: None: nothing is learned, K_0 are the means of F, a backbone feature. It serves
                heads without stages that embed the features under their masks.
            logit: M_0 is +logit inside a cluster and -logit outside (2: sigmoid 0.88 and 0.12).
        """
        super().__init__()
        self.counts = tuple(counts)
        self.logit = logit
        self.project: nn.Module | None = None
        if dim is not None:
            self.init_kernels = nn.Parameter(torch.empty(sum(self.counts), dim))
            nn.init.normal_(self.init_kernels, std=0.01)
            self.project = nn.Sequential(nn.Linear(dim, dim), nn.LayerNorm(dim))

    def forward(
        self, features: Tensor, backbone_features: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """F (B,D,h,w), features to cluster -> K_0 (B,N,D), M_0 (B,N,h,w)."""
        # float32: a sum over h*w pixels passes 65504, and rounding would move cluster borders
        with torch.autocast(device_type=features.device.type, enabled=False):
            masks = cluster_masks(backbone_features, self.counts)
            masks = resize_masks(masks, features.shape[-2:])
            kernels = region_means(features, masks)
        if self.project is not None:
            kernels = self.project(kernels) + self.init_kernels
        return kernels, (2 * masks - 1) * self.logit
