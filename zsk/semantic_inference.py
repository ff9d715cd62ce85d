"""Proposals and their class probabilities -> a label map: pure functions (section 4).

Shape letters: N proposals, K classes, h x w masks, H x W image.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from zsk.candidate_names import labels_by_tiles
from zsk.mask_votes import MaskVotes

STRIP_VALUES = 32_000_000  # floats in the largest tensor of a strip: 128 MB


def label_map(
    probs: Tensor, mask_logits: Tensor, size: tuple[int, int], votes: MaskVotes = MaskVotes()
) -> Tensor:
    """score_k(u,v) = sum_n p_n(k) sigma(M)_n(u,v), then the argmax over k; or with other `votes`.

    probs (N,K) float32 >= 0, mask_logits (N,h,w) float32, size (H,W) -> (H,W) int64 in [0,K), the
    lowest name where several are best. The logits are resized to the image, bilinearly. Scores of
    K x H x W never exist as a whole, so memory does not grow with the photo's height times the
    vocabulary.
    """
    return label_map_of_views([(probs, mask_logits)], size, votes)


def label_map_of_views(
    views: Sequence[tuple[Tensor, Tensor]], size: tuple[int, int], votes: MaskVotes = MaskVotes()
) -> Tensor:
    """As `label_map`, with the scores averaged over views of one photo.

    Args:
        views: at least one (probs (N,K), mask_logits (N,h,w)); K is the same, N, h and w need not
            be. Each view's masks cover the photo as it is, not mirrored.
    """
    # the sum has its maximum where the average has it
    if views[0][0].device.type == "cpu":
        return labels_by_tiles(views, size, votes)
    # What tiles save is arithmetic, of which a GPU has plenty, and it would have to wait while the
    # host lists their candidates. Our choice, not measured.
    return labels_of_all_pixels(views, size, votes)


def labels_of_all_pixels(
    views: Sequence[tuple[Tensor, Tensor]], size: tuple[int, int], votes: MaskVotes = MaskVotes()
) -> Tensor:
    """`label_map_of_views` by scoring every name at every pixel, a strip of rows at a time."""
    height, width = size

    def scores(top: int, bottom: int) -> Tensor:
        total = torch.zeros((), device=views[0][0].device)
        for probs, masks in views:
            strip = resize_rows(masks, height, width, top, bottom)
            total = total + _scores(probs, votes(strip, dim=0))
        return total

    return labels_by_strips(scores, size, max(max(probs.shape) for probs, _ in views))


def labels_by_strips(
    scores: Callable[[int, int], Tensor], size: tuple[int, int], depth: int
) -> Tensor:
    """The argmax over K of scores that never exist as a whole.

    Args:
        scores: (top, bottom) -> (K,bottom-top,W), those of the rows [top, bottom).
        size: (H,W).
        depth: the largest number of values per pixel that `scores` makes; bounds a strip's rows.
    Returns:
        (H,W) int64 in [0,K).
    """
    height, width = size
    rows = max(1, STRIP_VALUES // (width * depth))
    tops = range(0, height, rows)
    return torch.cat([scores(top, min(top + rows, height)).argmax(dim=0) for top in tops])


def _scores(probs: Tensor, votes: Tensor) -> Tensor:
    return torch.einsum("nk,nhw->khw", probs, votes)


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
