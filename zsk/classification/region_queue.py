"""The proposals of one image on their way through the region classifier.

Letters: N proposals, h×w masks, H×W image, K classes, E width of the text space, R of one round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from zsk.errors import UserError
from zsk.mask_votes import MaskVotes

from .pruning import VoteCount, representatives

LEAST_ROUND = 8  # counting the votes takes time, too


@dataclass(frozen=True)
class Pruning:
    """What may be left out.

    Args:
        tolerance: in [0,1), the share of the mask pixels whose label may be left open; 0 classifies
            every proposal.
        duplicate_iou: in (0,1], proposals whose masks overlap more share the probabilities of the
            one with the best head scores; 1 shares none.
        ceiling: in (0,1], the largest probability of a class that a proposal which is not yet
            classified is reckoned with. 1 is what a proposal can have, below it is a guess: more is
            left out, and labels can change by more than the tolerance.
        round_size: ≥ 0, proposals classified between two counts of the votes. 0: as many as are
            encoded at once, at least LEAST_ROUND; so what a tolerance leaves out then depends on
            the device.

    Raises UserError for a number outside its range.
    """

    tolerance: float = 0.0
    duplicate_iou: float = 1.0
    ceiling: float = 1.0
    round_size: int = 0

    def __post_init__(self) -> None:
        for key, value, allowed, fine in (
            ("TOLERANCE", self.tolerance, "at least 0 and below 1", 0 <= self.tolerance < 1),
            ("DUPLICATE_IOU", self.duplicate_iou, "over 0, 1 at most", 0 < self.duplicate_iou <= 1),
            ("CEILING", self.ceiling, "over 0, 1 at most", 0 < self.ceiling <= 1),
            ("ROUND_SIZE", self.round_size, "0 or more", self.round_size >= 0),
        ):
            if not fine:
                raise UserError(f"MODEL.CLIP.PRUNE.{key} is {value}, but has to be {allowed}")


class RegionRequest(NamedTuple):
    """One image's proposals to be named.

    image: (3,H,W) uint8 or float, RGB in 0–255, without padding.
    mask_logits: (N,h,w) float, over the whole image at any resolution.
    text: (K,E) float32 unit rows.
    scores: from region probabilities (N,K) and valid (N,) to the final class scores (N,K), none of
        which falls when a probability rises; None: not known, so nothing is left out.
    votes: what the masks have to say in the label map; read where there are `scores`.
    """

    image: Tensor
    mask_logits: Tensor
    text: Tensor
    scores: Callable[[Tensor, Tensor], Tensor] | None = None
    votes: MaskVotes = MaskVotes()


class RegionQueue:
    """Hands out proposals to classify, a round at a time, and takes their probabilities.

    Attributes:
        probs: (N,K) float32; 0 for what was left out.
        valid: (N,) bool; proposals that are left out count as valid.
    """

    def __init__(
        self, request: RegionRequest, logit_threshold: float, chunk_size: int, pruning: Pruning
    ) -> None:
        masks, text = request.mask_logits, request.text
        # Bilinear resizing adds no maximum: what is empty here is empty at the image's size. The
        # converse is not so: see `shown` in `take`.
        over = masks > logit_threshold
        self.valid = over.flatten(1).any(dim=1)
        self.probs = text.new_zeros(len(masks), len(text), dtype=torch.float32)
        self.request = request
        self._scores = request.scores
        self._stand_in = torch.arange(len(masks), device=masks.device)
        self._waiting = self.valid.clone()
        self._round_size = max(chunk_size, pruning.round_size or LEAST_ROUND)
        self._tolerance = pruning.tolerance
        self._count: VoteCount | None = None
        if self._scores is not None and len(masks):
            upper = self._scores(torch.full_like(self.probs, pruning.ceiling), self.valid)
            if pruning.duplicate_iou < 1:
                weights = upper.amax(dim=1)
                self._stand_in = representatives(over, weights, pruning.duplicate_iou)
                self._waiting &= self._stand_in == torch.arange(len(masks), device=masks.device)
            if pruning.tolerance > 0:
                self._round_size = pruning.round_size or self._round_size
                self._count = VoteCount(upper, masks, request.votes)
                self._vote(~self.valid)

    def next_round(self) -> Tensor:
        """(R,) int64: what to classify now; empty when nothing that is left can matter."""
        waiting = self._waiting.nonzero()[:, 0]
        if self._count is None or not len(waiting):
            return waiting[: self._round_size]
        unsettled = self._count.unsettled()
        if unsettled.float().mean() <= self._tolerance:
            return waiting[:0]
        return self._count.heaviest(waiting, unsettled, self._round_size)

    def take(self, indices: Tensor, probs: Tensor, shown: Tensor) -> None:
        """Probabilities (R,K) of a round; `shown` (R,) bool is false for what had no pixel."""
        self._waiting[indices] = False
        self.probs[indices] = probs
        taken = torch.zeros_like(self.valid).index_fill_(0, indices, True)
        blank = torch.zeros_like(self.valid).index_copy_(0, indices, ~shown)
        group = taken[self._stand_in] & self.valid  # and those that they stand for
        self.probs[group] = self.probs[self._stand_in[group]]
        self.valid &= ~blank[self._stand_in]
        self._vote(group)

    def _vote(self, group: Tensor) -> None:
        if self._count is not None and self._scores is not None:
            indices = group.nonzero()[:, 0]
            self._count.add(indices, self._scores(self.probs, self.valid)[indices])
