"""Class scores of proposals and their masks -> a label map: pure functions (section 4).

score_k(u,v) = sum_n p_n(k) v_n(u,v) with v_n = sigmoid(M_n), then the argmax over k. The map is
made in blocks. Bounds of the scores in a block leave most of many classes out, so 2,000 names stay
affordable and scores of K x H x W never exist. With competing masks all classes are scored.

Shape letters: N proposals, K classes, h x w masks, H x W image, Y x X blocks.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from zsk.progress import progress

BLOCK = 32  # pixels along a side
FEW_CLASSES = 64
LARGE = 1e4  # stands for infinite logits
ROUNDING = 1e-5  # tolerance of the bounds, as a share of the largest possible score
STRIP_VALUES = 32_000_000  # floats in the largest tensor of a strip of rows: 128 MB


def label_map(
    views: Sequence[tuple[Tensor, Tensor]], size: tuple[int, int], mask_softmax: float = 0.0
) -> Tensor:
    """The class with the best score at every pixel.

    Args:
        views: one or more looks at the photo, (class scores (N,K) float32 >= 0, mask logits (N,h,w)
            float32), whose scores are averaged. K is the same; N, h and w need not be.
        size: (H,W). The logits are resized to it, bilinearly.
        mask_softmax: 0 for votes sigmoid(M_n); s > 0 for masks that compete for a pixel, with votes
            softmax_n(s M_n).
    Returns:
        (H,W) int64 in [0,K), the lowest class where several are best.
    """
    # NaN would win every argmax, and infinity becomes NaN between two cells
    views = [(probs, m.nan_to_num(nan=-LARGE, posinf=LARGE, neginf=-LARGE)) for probs, m in views]
    labels = torch.empty(size, dtype=torch.int64, device=views[0][0].device)
    possible = possible_classes(views, size, mask_softmax)
    rows, columns = (_block_edges(side) for side in size)
    strips_of_rows = progress(list(pairwise(rows)), "label map")
    for y, (top, bottom) in enumerate(strips_of_rows):
        strips = [votes(resize_rows(masks, size, top, bottom), mask_softmax) for _, masks in views]
        for x, (left, right) in enumerate(pairwise(columns)):
            classes = possible[y, x].nonzero()[:, 0]
            scores = torch.zeros((), device=labels.device)
            for strip, (probs, _) in zip(strips, views):
                scores = scores + strip[:, :, left:right].flatten(1).T @ probs[:, classes]
            best = classes[scores.argmax(dim=1)]
            labels[top:bottom, left:right] = best.view(bottom - top, right - left)
    return labels


def votes(logits: Tensor, mask_softmax: float) -> Tensor:
    """Mask logits (N,...) -> votes in [0,1] of the same shape; `mask_softmax` as in `label_map`."""
    if not mask_softmax:
        return logits.sigmoid()
    return (mask_softmax * logits).softmax(dim=0)


def possible_classes(
    views: Sequence[tuple[Tensor, Tensor]], size: tuple[int, int], mask_softmax: float = 0.0
) -> Tensor:
    """The classes that may have the best score somewhere in a block: (Y,X,K) bool.

    In a block every vote lies between a least and a greatest value, and so does every score. A
    class is left out where its upper bound is below the lower bound of another class, so no class
    that wins a pixel is left out. Arguments as in `label_map`. All classes are possible where they
    are few, since bounds would cost more than they save, and where masks compete, since their votes
    are not bounded.
    """
    grid = tuple(len(_block_edges(side)) - 1 for side in size)
    num_classes, device = views[0][0].shape[1], views[0][0].device
    if mask_softmax or num_classes <= FEW_CLASSES:
        return torch.ones(*grid, num_classes, dtype=torch.bool, device=device)
    middle = spread = slack = torch.zeros((), device=device)
    for probs, masks in views:
        least, greatest = -_block_maxima(-masks, grid), _block_maxima(masks, grid)
        least, greatest = least.sigmoid(), greatest.sigmoid()
        # Only differences between classes decide, and the bounds are narrowest for differences
        # from the median.
        above = probs - probs.median(dim=1, keepdim=True).values
        middle = middle + (least + greatest) / 2 @ above
        spread = spread + (greatest - least) / 2 @ above.abs()
        slack = slack + ROUNDING * (greatest @ probs.amax(dim=1))
    best_lower = (middle - spread).amax(dim=1) - slack
    possible = ~(middle + spread < best_lower[:, None])  # NaN is kept
    return possible.unflatten(0, grid)


def _block_edges(side: int) -> list[int]:
    """First pixels of the blocks along a side, then its length.

    The centre of a pixel lies in the share of the side that its block covers.
    """
    count = -(-side // BLOCK)
    return [(2 * side * block + count - 1) // (2 * count) for block in range(count + 1)]


def _block_maxima(masks: Tensor, grid: Sequence[int]) -> Tensor:
    """(N,h,w) -> (Y*X,N), the greatest value that interpolation can give in each block."""
    # a pixel reads cells up to one beyond its block
    widened = F.max_pool2d(masks[None], 3, stride=1, padding=1)
    return F.adaptive_max_pool2d(widened, list(grid))[0].flatten(1).T


def labels_by_strips(
    scores: Callable[[int, int], Tensor], size: tuple[int, int], depth: int
) -> Tensor:
    """The argmax over K of scores that never exist as a whole.

    Args:
        scores: (top, bottom) -> (K,bottom-top,W), those of the rows [top, bottom).
        size: (H,W).
        depth: the largest number of values per pixel that `scores` makes; bounds the rows of a
            strip.
    Returns:
        (H,W) int64 in [0,K).
    """
    height, width = size
    rows = max(1, STRIP_VALUES // (width * depth))
    tops = range(0, height, rows)
    return torch.cat([scores(top, min(top + rows, height)).argmax(dim=0) for top in tops])


def resize_rows(maps: Tensor, size: tuple[int, int], top: int, bottom: int) -> Tensor:
    """Rows [top, bottom) of (N,h,w) resized to `size` (H,W): bilinear, corners not aligned."""
    h = maps.shape[1]
    rows = torch.arange(top, bottom, device=maps.device, dtype=torch.float32)
    source = ((rows + 0.5) * (h / size[0]) - 0.5).clamp(min=0)
    above = source.floor().long().clamp(max=h - 1)
    below = (above + 1).clamp(max=h - 1)
    weight = (source - above)[:, None].to(maps.dtype)
    strip = torch.lerp(maps[:, above], maps[:, below], weight)
    return F.interpolate(
        strip[None], size=(bottom - top, size[1]), mode="bilinear", align_corners=False
    )[0]
