"""Which proposals still have to be classified: those that can change a label, each shape once.

A label is the argmax over k of Σ_n p_n(k) · σ(M)_n (or of other votes that masks have, see
zsk/mask_votes.py). Before a proposal is classified, p_n(k) lies between 0 and what the ensemble
makes of a region probability of 1: with the head's probability h_n(k), at most h_n(k)^λ. So after
some proposals are classified, a pixel is settled when its winner stays ahead even if all others
give every rival their most. No threshold on no-object does this: a proposal that is hardly an
object still decides where nothing else votes.

Measured on 2026-11-23: a head of 49 kernels, crops named by the embedded encoder, tolerance 0.01,
rounds of 8, λ = 0.7. On 4 photos that the head had learned 8 crops were left, and at most 0.01 % of
the labels changed (λ = 0.4: 8 to 24 crops, 0.11 %); on 4 others it left 48 and changed 0.01 %,
where a threshold of 0.05 on the object probability left 0 to 5 and changed 0.5 to 75 %. On a model
whose proposals are all objects nearly all are classified, and 0.25 % changed at most. Sharing among
duplicates (IoU 0.9) saved 0 to 8 crops there and changed up to 0.35 % (λ = 0.4: 1.4 %), so it is
off unless asked for.

Where no class has much probability in any crop, as with the embedded encoder (half of the crops
have 0.065 at most, 171 names), a bound of 1 settles nothing. A lower one, `Pruning.ceiling`, is a
guess that leaves out what would hardly ever turn a label. Measured on 2026-11-23, configs/embedded/
zsk_lite2.yaml with crops, the 20 photos of its test split, 98 crops each: crops | pixels that are
named otherwise than by all crops | hIoU (9.17 with all crops):

    ceiling         1                    0.2                  0.1                  0.05
    tolerance 0.1   86 | 0.7 % | 9.16    76 | 1.1 % | 9.18    70 | 1.5 % | 9.16    64 | 1.6 % | 9.15
    tolerance 0.2   80 | 1.3 % | 9.16    67 | 2.4 % | 9.20    62 | 2.7 % | 9.17    54 | 3.4 % | 9.10
    tolerance 0.3   74 | 2.1 % | 9.18    59 | 3.5 % | 9.10    54 | 3.7 % | 9.25    47 | 4.5 % | 9.27

On 12 training photos, seen mIoU (52.9 with all crops) at ceiling 0.05: 52.9 at tolerance 0.1,
53.1 at 0.2 and 51.7 at 0.3. So 0.2 is what that configuration has.

Letters: N proposals, h×w masks, K classes, P grid points at which votes are counted.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zsk.mask_votes import MaskVotes

GRID_VALUES = 8_000_000  # floats in K×P: larger vocabularies are counted on a sparser grid


class VoteCount:
    """The votes of an image while its proposals are classified a few at a time.

    Args:
        upper: (N,K) float32 ≥ 0, the most that each proposal is reckoned to come to score.
        mask_logits: (N,h,w) float.
        votes: what the masks have to say in the label map.
    """

    def __init__(self, upper: Tensor, mask_logits: Tensor, votes: MaskVotes = MaskVotes()) -> None:
        height, width = mask_logits.shape[-2:]
        step = max(1, math.ceil(math.sqrt(upper.shape[1] * height * width / GRID_VALUES)))
        grid = mask_logits[:, ::step, ::step].float()
        self.shares = votes(grid, dim=0).nan_to_num().flatten(1)
        self.upper = upper
        self.votes = upper.new_zeros(upper.shape[1], self.shares.shape[1])
        self.open = upper.T @ self.shares  # (K,P): what the rest can still add

    def add(self, indices: Tensor, scores: Tensor) -> None:
        """Proposals (R,) int64 came to score (R,K); each proposal is added once at most."""
        shares = self.shares[indices]
        self.votes += scores.T @ shares
        self.open -= self.upper[indices].T @ shares

    def unsettled(self) -> Tensor:
        """(P,) bool: where the rest can still change which class has the most votes."""
        most, winner = self.votes.max(dim=0)
        rivals = (self.votes + self.open).scatter_(0, winner[None], -1.0)
        return rivals.amax(dim=0) > most

    def heaviest(self, candidates: Tensor, unsettled: Tensor, count: int) -> Tensor:
        """At most `count` of the candidates (C,) int64: those that may add most where unsettled."""
        areas = self.shares[candidates] @ unsettled.float()
        weights = self.upper[candidates].amax(dim=1) * areas
        return candidates[weights.topk(min(count, len(candidates))).indices]


def representatives(masks: Tensor, weights: Tensor, iou: float) -> Tensor:
    """Which proposal stands for each: itself, or a heavier one of nearly its shape.

    Greedy from the heaviest on, as in non-maximum suppression. Empty masks stand for themselves.

    Args:
        masks: (N,h,w) bool.
        weights: (N,) float, the heavier one of two duplicates is kept.
        iou: in (0,1], masks whose intersection over union is larger are duplicates.

    Returns:
        (N,) int64.
    """
    flat = masks.flatten(1).float()
    both, areas = flat @ flat.T, flat.sum(dim=1)
    alike = (both > iou * (areas[:, None] + areas - both)).cpu()  # one small copy, then greedy
    result = torch.arange(len(masks))
    free = torch.ones(len(masks), dtype=torch.bool)
    for kept in weights.argsort(descending=True, stable=True).tolist():
        if free[kept]:
            group = alike[kept] & free
            group[kept] = True
            result[group] = kept
            free &= ~group
    return result.to(masks.device)
