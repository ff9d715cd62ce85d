"""Unnamed regions of a photo that one-pass training learns from: pure functions.

Letters: H×W photo, G segments of seen classes, R regions, P pixels of the coarse photo, k cells.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from zsk.data.targets import segments_from_sem_seg
from zsk.proposals.image_clusters import kmeans
from zsk.vocabulary import IGNORE_LABEL

MIN_SHARE = 0.002  # of the photo: a smaller region is a few pixels in its crop
CELLS = (2, 12)  # of a partition, fewest and most
COARSE_SIDE = 48  # longer side of the photo that is partitioned: proposals are no finer
PLACE_WEIGHT = 2.0  # highest weight of a pixel's place against its colour
ITERATIONS = 4  # of k-means: cells need not be optimal
ROUGH_SIDE = 24  # of the grid that a rough outline follows, longer side
ROUGH_NOISE = 0.35  # highest deviation of the noise on a mask in {0,1}
ROUGH_OVERLAP = 0.5  # lowest IoU of a rough outline with the true one


def draw_regions(
    pixels: Tensor,
    sem_seg: Tensor,
    limit: int,
    generator: torch.Generator,
    ignore: int = IGNORE_LABEL,
) -> Tensor:
    """At most `limit` regions of a photo, drawn from three kinds.

    Segments of the seen classes, rough outlines of these segments, and cells of a partition by
    colour and place. The cells also cover unlabelled pixels, of which only colours are used.

    Args:
        pixels: (3,H,W) float32, normalised, on the CPU.
        sem_seg: (H,W) int64, ids of seen classes and `ignore`; the ids only tell segments apart.
        generator: on the CPU.

    Returns:
        (R,H,W) bool, none smaller than MIN_SHARE of the photo; the R may be 0.
    """
    segments = segments_from_sem_seg(sem_seg, ignore).masks
    regions = torch.cat(
        [segments, rough_outlines(segments, generator), random_partition(pixels, generator)]
    )
    regions = regions[regions.flatten(1).float().mean(dim=1) >= MIN_SHARE]
    return regions[torch.randperm(len(regions), generator=generator)[:limit]]


def random_partition(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """(3,H,W) → (k,H,W) bool: k-means cells of colour and place; every pixel is in one.

    The number of cells, their seeds and the weight of the place are random.
    """
    low, high = CELLS
    count = int(torch.randint(low, high + 1, (1,), generator=generator))
    height, width = pixels.shape[-2:]
    coarse = F.adaptive_avg_pool2d(pixels, _coarse_size(height, width, COARSE_SIDE))
    colours = coarse.flatten(1).T
    spread = colours.std(dim=0, correction=0).mean().clamp(min=1e-6)  # a photo of one colour
    axes = [torch.linspace(-1, 1, side) for side in coarse.shape[-2:]]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1).T
    weight = PLACE_WEIGHT * torch.rand(1, generator=generator)
    points = torch.cat([colours / spread, weight * place], dim=1)
    seeds = torch.randint(len(points), (1, count), generator=generator)
    cells = kmeans(points[None], seeds, ITERATIONS)[0].view(1, 1, *coarse.shape[-2:])
    cells = F.interpolate(cells.float(), (height, width), mode="nearest")[0, 0].long()
    return F.one_hot(cells, count).permute(2, 0, 1).bool()


def rough_outlines(segments: Tensor, generator: torch.Generator) -> Tensor:
    """(G,H,W) bool → the same shape, with coarse and noisy outlines as proposals have."""
    if not len(segments):
        return segments
    height, width = segments.shape[-2:]
    size = _coarse_size(height, width, ROUGH_SIDE)
    coarse = F.adaptive_avg_pool2d(segments[:, None].float(), size)
    noise = torch.randn(len(segments), 1, 8, 8, generator=generator)
    noise = noise * ROUGH_NOISE * torch.rand(len(segments), 1, 1, 1, generator=generator)
    soft, bumps = (
        F.interpolate(x, (height, width), mode="bilinear", align_corners=False)
        for x in (coarse, noise)
    )
    rough = (soft + bumps)[:, 0] > 0.5
    overlap = (rough & segments).sum(dim=(1, 2)) / (rough | segments).sum(dim=(1, 2))
    return torch.where(overlap[:, None, None] >= ROUGH_OVERLAP, rough, segments)


def _coarse_size(height: int, width: int, longer: int) -> tuple[int, int]:
    """(H,W) shrunk so that the longer side has at most `longer`, the shorter at least 1."""
    scale = min(1.0, longer / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
