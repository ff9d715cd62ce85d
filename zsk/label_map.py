"""Class scores of proposals and their masks -> a label map: pure functions (section 4).

score_k(u,v) = sum_n p_n(k) v_n(u,v) with v_n = sigmoid(M_n), then the argmax over k. Scores of
K x H x W never exist as a whole: the map is made in strips of rows.

Shape letters: N proposals, K classes, h x w masks, H x W image.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

STRIP_VALUES = 32_000_000  # floats in the largest tensor of a strip: 128 MB
BLOCKS = 32  # along each side of the image, in which classes are compared
ROUNDING = 1e-5  # of the largest possible score: bounds that are closer are not told apart


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
    height, width = size
    candidates = torch.arange(views[0][0].shape[1], device=views[0][0].device)
    if not mask_softmax:
        candidates = possible_classes(views)
    views = [(probs[:, candidates], masks) for probs, masks in views]

    def scores(top: int, bottom: int) -> Tensor:
        total = torch.zeros((), device=candidates.device)
        for probs, masks in views:
            strip = votes(resize_rows(masks, height, width, top, bottom), mask_softmax)
            total = total + torch.einsum("nk,nhw->khw", probs, strip)
        return total

    depth = max(max(probs.shape) for probs, _ in views)
    return candidates[labels_by_strips(scores, size, depth)]


def votes(logits: Tensor, mask_softmax: float) -> Tensor:
    """Mask logits (N,...) -> votes in [0,1] of the same shape; `mask_softmax` as in `label_map`."""
    if not mask_softmax:
        return logits.sigmoid()
    return (mask_softmax * logits).softmax(dim=0)


def possible_classes(views: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """The classes that may have the best score at some pixel, ascending: (C,) int64.

    In a block of the image every vote lies between a least and a greatest value, and so does every
    score. A class is dropped if in every block its upper bound is below the lower bound of another
    class. So no class that wins a pixel is dropped, and of thousands of names few are left.
    """
    device = views[0][0].device
    middle = spread = slack = torch.zeros((), device=device)
    for probs, masks in views:
        least, greatest = (-_block_maxima(-masks)).sigmoid(), _block_maxima(masks).sigmoid()
        # Only differences between classes decide, and bounds of differences from the median are
        # the narrowest.
        above = probs - probs.median(dim=1, keepdim=True).values
        middle = middle + (least + greatest) / 2 @ above
        spread = spread + (greatest - least) / 2 @ above.abs()
        slack = slack + ROUNDING * (greatest @ probs.amax(dim=1))
    best_lower = (middle - spread).amax(dim=1) - slack
    possible = ~(middle + spread < best_lower[:, None])  # NaN is kept
    return possible.any(dim=0).nonzero()[:, 0]


def _block_maxima(masks: Tensor) -> Tensor:
    """(N,h,w) -> (BLOCKS^2,N), the greatest value that interpolation can give in each block."""
    # a pixel reads cells up to one beyond its block
    widened = F.max_pool2d(masks[None], 3, stride=1, padding=1)
    return F.adaptive_max_pool2d(widened, BLOCKS)[0].flatten(1).T


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


def resize_rows(maps: Tensor, height: int, width: int, top: int, bottom: int) -> Tensor:
    """Rows [top, bottom) of (N,h,w) resized to height x width: bilinear, corners not aligned."""
    h = maps.shape[1]
    rows = torch.arange(top, bottom, device=maps.device, dtype=torch.float32)
    source = ((rows + 0.5) * (h / height) - 0.5).clamp(min=0)
    above = source.floor().long().clamp(max=h - 1)
    below = (above + 1).clamp(max=h - 1)
    weight = (source - above)[:, None].to(maps.dtype)
    strip = torch.lerp(maps[:, above], maps[:, below], weight)
    return F.interpolate(
        strip[None], size=(bottom - top, width), mode="bilinear", align_corners=False
    )[0]
