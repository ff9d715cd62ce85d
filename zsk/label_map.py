"""Class scores of proposals and their masks -> a label map: pure functions (section 4).

score_k(u,v) = sum_n p_n(k) v_n(u,v) with v_n = sigmoid(M_n), then the argmax over k. The map is
made in blocks. Bounds of the scores in a block leave most of many classes out, so 2,000 names stay
affordable and scores of K x H x W never exist.

Shape letters: N proposals, K classes, h x w masks, H x W image.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from zsk.looks.true_scale import Box, resize_rows
from zsk.progress import progress

BLOCK = 32  # pixels along a side
FEW_CLASSES = 64
LARGE = 1e4  # stands for infinite logits
ROUNDING = 1e-5  # of the bounds, as a share of the largest differences between scores
STRIP_VALUES = 32_000_000  # floats in the largest tensor of a strip of rows: 128 MB


class View(NamedTuple):
    """One look at the photo, named."""

    probs: Tensor  # (N,K) float32, class scores >= 0
    masks: Tensor  # (N,h,w) float32, mask logits
    box: Box | None = None  # the photo on the masks; None where they cover it and nothing else
    head: Tensor | None = None  # (N,K), the head's opinion; None where it has none
    clip: Tensor | None = None  # (N,K), CLIP's opinion


class LabelMap(NamedTuple):
    """Labels and how sure they are.

    labels: (H,W) int64 in [0,K), the class with the best score; the lowest where several are best.
    confidence: (H,W) float32 in [0,1], that score over the sum of all scores, or over 1 where the
        sum is less: a pixel that no proposal claims is unsure.
    """

    labels: Tensor
    confidence: Tensor


def label_map(
    views: Sequence[View],
    size: tuple[int, int],
    mask_softmax: float = 0.0,
    resize_votes: bool = False,
) -> LabelMap:
    """The class with the best score at every pixel.

    Args:
        views: one or more looks at the photo, whose scores are averaged. K is the same; N, h and w
            need not be.
        size: (H,W). The logits are resized to it, bilinearly.
        mask_softmax: 0 for votes sigmoid(M_n); s > 0 for masks that compete for a pixel, with votes
            softmax_n(s M_n).
        resize_votes: the votes are resized instead of the logits (the public MaskFormer's order):
            much less work where there are fewer classes than masks.
    """
    if resize_votes:
        views = [with_scores(with_votes(view, mask_softmax)) for view in views]
    probs = [view.probs for view in views]
    labels = torch.empty(size, dtype=torch.int64, device=probs[0].device)
    confidence = torch.empty(size, device=labels.device)
    # only differences between classes decide, and those from the median are the smallest
    above = [each - each.median(dim=1, keepdim=True).values for each in probs]
    sizes = [each.abs() for each in above]
    everything = torch.arange(probs[0].shape[1], device=labels.device)
    rows, columns = ([*range(0, side, BLOCK), side] for side in size)
    few = len(everything) <= FEW_CLASSES  # bounds would cost more than they save
    if few:
        columns = [0, size[1]]
    for top, bottom in progress(list(pairwise(rows)), "label map"):
        strips = [vote_rows(view, size, top, bottom, mask_softmax, resize_votes) for view in views]
        sums = [torch.einsum("nrc,n->rc", strip, p.sum(1)) for strip, p in zip(strips, probs)]
        for left, right in pairwise(columns):
            parts = [strip[:, :, left:right].flatten(1) for strip in strips]
            kept = everything if few else possible_classes(parts, above, sizes)
            scores = torch.zeros((), device=labels.device)
            for part, p in zip(parts, probs):
                scores = scores + part.T @ p[:, kept]
            best, winner = scores.max(dim=1)
            here = bottom - top, right - left
            labels[top:bottom, left:right] = kept[winner].view(here)
            confidence[top:bottom, left:right] = best.view(here) / len(views)
        confidence[top:bottom] /= torch.stack(sums).mean(dim=0).clamp(min=1)
    return LabelMap(labels, confidence.clamp(max=1))


def finite(masks: Tensor) -> Tensor:
    """Mask logits with large numbers in place of infinities, and no vote in place of NaN.

    NaN would win every argmax, and infinity becomes NaN between two cells.
    """
    return masks.nan_to_num(nan=-LARGE, posinf=LARGE, neginf=-LARGE)


def with_votes(view: View, mask_softmax: float = 0.0) -> View:
    """The view with votes in place of its mask logits."""
    return view._replace(masks=votes(view.masks, mask_softmax))


def with_scores(view: View) -> View:
    """Votes (N,h,w) -> the scores (K,h,w) that they give, where K is less; what is resized is less.

    Resizing is linear, so resized scores are those of resized votes. Each score is a vote for its
    class, with probability 1.
    """
    if view.probs.shape[1] >= len(view.probs):
        return view
    scores = view.probs.T @ view.masks.flatten(1)
    classes = torch.eye(len(scores), device=scores.device)
    return view._replace(probs=classes, masks=scores.unflatten(1, view.masks.shape[1:]))


def vote_rows(
    view: View,
    size: tuple[int, int],
    top: int,
    bottom: int,
    mask_softmax: float = 0.0,
    are_votes: bool = False,
) -> Tensor:
    """The votes of all proposals in the rows [top, bottom) of the result: (N,bottom-top,W).

    Arguments as in `label_map`; are_votes: the masks of the view are votes, see `with_votes`.
    """
    rows = resize_rows(view.masks, view.box, size, top, bottom)
    return rows if are_votes else votes(rows, mask_softmax)


def votes(logits: Tensor, mask_softmax: float) -> Tensor:
    """Mask logits (N,...) -> votes in [0,1] of the same shape; `mask_softmax` as in `label_map`."""
    if not mask_softmax:
        return logits.sigmoid()
    return (mask_softmax * logits).softmax(dim=0)


def possible_classes(
    votes: Sequence[Tensor], above: Sequence[Tensor], sizes: Sequence[Tensor]
) -> Tensor:
    """The classes that may have the best score somewhere in a block: their ids, ascending.

    In a block every vote lies between a least and a greatest value, and so does every score. A
    class is left out where its upper bound is below the lower bound of another class, so no class
    that wins a pixel is left out.

    Args:
        votes: of each view, (N,P) of the P pixels of the block.
        above: of each view, (N,K): scores less a number that may differ between proposals.
        sizes: their absolute values.
    """
    middle = spread = torch.zeros((), device=above[0].device)
    for part, scores, size in zip(votes, above, sizes):
        least, greatest = part.aminmax(dim=1)
        middle = middle + (least + greatest) / 2 @ scores
        # a little wider than the values, for the rounding of sums
        spread = spread + ((greatest - least) / 2 + ROUNDING * greatest) @ size
    best_lower = (middle - spread).amax()
    return (~(middle + spread < best_lower)).nonzero()[:, 0]  # NaN is kept


def strips_of_rows(size: tuple[int, int], depth: int) -> list[tuple[int, int]]:
    """First row and end of strips whose tensors of `depth` values per pixel are affordable."""
    rows = max(1, STRIP_VALUES // (size[1] * depth))
    return [(top, min(top + rows, size[0])) for top in range(0, size[0], rows)]
