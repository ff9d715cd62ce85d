"""Masks and labels at sampled points instead of at all pixels: pure functions.

The scheme is PointRend's (Kirillov et al., CVPR 2020) as Mask2Former (Cheng et al., CVPR 2022)
trains with it. Points are (x, y) in [0, 1] of width and height; the centre of pixel i of n is at
(i + 0.5) / n. What is sampled at P points has the shape of a map of height 1 and width P, so that
all that takes maps takes it.

Shape letters: B images, N masks, P points, M pairs of a mask and its segment, R label maps, h x w
masks, H x W labels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .segment_batch import SegmentBatch

OVERSAMPLE_RATIO = 3  # candidates for each point (PointRend's k)
IMPORTANCE_SHARE = 0.75  # of the points are the most uncertain candidates (PointRend's beta)


def random_points(rows: int, count: int, device: torch.device) -> Tensor:
    """(rows,count,2) float32, uniform, from torch's global generator of the device."""
    return torch.rand(rows, count, 2, device=device)


def logits_at(masks: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples: masks (B,N,h,w) float32, points (B,P,2) -> (B,N,1,P), differentiable.

    At the pixel centres of a map of another size they are what `resize_masks` to it gives.
    """
    return F.grid_sample(masks, 2 * points[:, None] - 1, padding_mode="border", align_corners=False)


def labels_at(maps: Tensor, rows: Tensor, points: Tensor) -> Tensor:
    """Label maps (R,H,W) at points (M,P,2), each from the pixel that the point lies in: (M,1,P).

    `rows` (M,) int64 says which map each row of points is for. Nothing is interpolated: a point in
    an ignored pixel is ignored.
    """
    height, width = maps.shape[-2:]
    x = (points[..., 0] * width).long().clamp_(max=width - 1)
    y = (points[..., 1] * height).long().clamp_(max=height - 1)
    return maps[rows[:, None], y, x][:, None]


def segments_at(segments: SegmentBatch, points: Tensor) -> SegmentBatch:
    """Every image's segments at its own points (B,P,2)."""
    device = points.device
    images = torch.arange(len(segments.counts), device=device)
    owners = images.repeat_interleave(torch.tensor(segments.counts, device=device))
    each = torch.arange(len(owners), device=device)
    return segments._replace(
        masks=labels_at(segments.masks, each, points[owners]),
        valid=labels_at(segments.valid, images, points),
    )


@torch.no_grad()
def uncertain_points(masks: Tensor, valid: Tensor, images: Tensor, count: int) -> Tensor:
    """Points where a mask's loss is taken: most of them where it is unsure of itself.

    Of uniform candidates those with logits nearest to 0 are taken, and uniform points to the rest.
    Candidates on ignored pixels come last, whatever their logits: they would be lost (our choice).

    Args:
        masks: (M,h,w) float32 logits.
        valid: (B,H,W) bool, False where the label is to be ignored.
        images: (M,) int64, the masks' images.
        count: P.
    Returns:
        (M,P,2).
    """
    device = masks.device
    candidates = random_points(len(masks), OVERSAMPLE_RATIO * count, device)
    uncertainty = -logits_at(masks[:, None], candidates)[:, 0].abs()
    uncertainty = uncertainty.masked_fill(~labels_at(valid, images, candidates), -torch.inf)[:, 0]
    best = uncertainty.topk(int(IMPORTANCE_SHARE * count), dim=1).indices
    chosen = candidates.take_along_dim(best[:, :, None], dim=1)
    rest = random_points(len(masks), count - best.shape[1], device)
    return torch.cat([chosen, rest], dim=1)
