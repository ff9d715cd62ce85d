"""A photo that was looked at and named: its labels, its scores, the opinions of head and CLIP.

Letters: H x W result, K classes, N proposals, G groups of pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from zsk.label_map import (
    LabelMap,
    View,
    label_map,
    strips_of_rows,
    vote_rows,
    with_scores,
    with_votes,
)


class Opinions(NamedTuple):
    """Class scores of groups of pixels, each (G,K) float32 in [0,1].

    scores: the mean scores over their sum, or over 1 where the sum is less.
    head, clip: means over the proposals, which count by their votes in the group; None where head
        or CLIP have no opinion.
    """

    scores: Tensor
    head: Tensor | None
    clip: Tensor | None


class Answer(ABC):
    """What a model makes of one look at a photo and one vocabulary.

    Attributes:
        size: (H,W) of its maps.
        depth: the number of values per pixel that `score_rows` makes, at most.
    """

    size: tuple[int, int]
    depth: int

    @abstractmethod
    def score_rows(self, top: int, bottom: int) -> Tensor:
        """(K,bottom-top,W) float32 >= 0, the scores of the rows [top, bottom)."""

    @torch.inference_mode()
    def label(self) -> LabelMap:
        """Label every pixel; the scores of the whole map never exist at once."""
        found = []
        for scores in self._strips():
            best, winner = scores.max(dim=0)
            found.append((winner, (best / scores.sum(dim=0).clamp(min=1)).clamp(max=1)))
        return LabelMap(*(torch.cat(parts) for parts in zip(*found)))

    @torch.inference_mode()
    def opinions(self, groups: Tensor, count: int) -> Opinions:
        """What the model thinks of `count` groups of pixels.

        Args:
            groups: (H,W) int64, in [0,count) for the pixels of a group, else another value.
        """
        sums = torch.zeros(())
        for top, bottom in strips_of_rows(self.size, self.depth):
            scores = self.score_rows(top, bottom)
            inside, ids = _inside(groups[top:bottom].to(scores.device), count)
            empty = scores.new_zeros(count, len(scores))
            sums = sums.to(scores.device) + empty.index_add(0, ids, scores[:, inside].T)
        return Opinions(normalised(sums / _areas(groups, count).to(sums.device), dim=1), None, None)

    @torch.inference_mode()
    def probabilities(self) -> Tensor:
        """(K,H,W) float32 in [0,1]: scores over their sum, or over 1 where the sum is less."""
        return torch.cat([normalised(scores, dim=0) for scores in self._strips()], dim=1)

    def _strips(self) -> Iterator[Tensor]:
        for rows in strips_of_rows(self.size, self.depth):
            yield self.score_rows(*rows)


class MaskAnswer(Answer):
    """Of mask proposals; arguments as for `zsk.label_map.label_map`."""

    def __init__(
        self,
        views: Sequence[View],
        size: tuple[int, int],
        mask_softmax: float = 0.0,
        resize_votes: bool = False,
    ) -> None:
        self.views = views
        self.size = size
        self.depth = sum(max(view.probs.shape) for view in views)
        self._mask_softmax, self._resize_votes = mask_softmax, resize_votes

    @property
    def _voting(self) -> Sequence[View]:
        """What `_vote_rows` takes: not kept, for votes are as large as the masks."""
        if not self._resize_votes:
            return self.views
        return [with_votes(view, self._mask_softmax) for view in self.views]

    @cached_property
    def _scoring(self) -> Sequence[View]:
        """The same for scores, which all strips of the result share."""
        return [with_scores(view) for view in self._voting] if self._resize_votes else self.views

    def _vote_rows(self, view: View, top: int, bottom: int) -> Tensor:
        return vote_rows(view, self.size, top, bottom, self._mask_softmax, self._resize_votes)

    @torch.inference_mode()
    def label(self) -> LabelMap:
        return label_map(self.views, self.size, self._mask_softmax, self._resize_votes)

    @torch.inference_mode()
    def score_rows(self, top: int, bottom: int) -> Tensor:
        scores = [
            torch.einsum("nrc,nk->krc", self._vote_rows(view, top, bottom), view.probs)
            for view in self._scoring
        ]
        return torch.stack(scores).mean(dim=0)

    @torch.inference_mode()
    def opinions(self, groups: Tensor, count: int) -> Opinions:
        votes = [self._votes_by_group(view, groups, count) for view in self._voting]
        total = torch.stack([vote.sum(dim=1, keepdim=True) for vote in votes]).sum(dim=0)

        def add(opinions: Iterable[Tensor]) -> Tensor:
            return torch.stack([vote @ rows for vote, rows in zip(votes, opinions)]).sum(dim=0)

        areas = _areas(groups, count).to(total.device)
        scores = add(view.probs for view in self.views) / len(self.views) / areas
        heads = [view.head for view in self.views if view.head is not None]
        clips = [view.clip for view in self.views if view.clip is not None]
        opinions = [
            add(found) / total.clamp(min=1e-12) if found else None for found in (heads, clips)
        ]
        return Opinions(normalised(scores, dim=1), *opinions)

    def _votes_by_group(self, view: View, groups: Tensor, count: int) -> Tensor:
        """(count,N): the sum of the votes in each group."""
        sums = view.masks.new_zeros(count, len(view.masks))
        groups = groups.to(sums.device)
        used = _inside(groups, count)[0].any(dim=1)
        for top, bottom in strips_of_rows(self.size, max(count, len(view.masks))):
            rows = used[top:bottom].nonzero()[:, 0].tolist()
            if rows:  # a single pixel needs a single row
                top, bottom = top + rows[0], top + rows[-1] + 1
                inside, ids = _inside(groups[top:bottom], count)
                strip = self._vote_rows(view, top, bottom)
                sums.index_add_(0, ids, strip[:, inside].T)
        return sums


class PixelAnswer(Answer):
    """Of scores per pixel, which a function makes as `score_rows`."""

    def __init__(
        self, score_rows: Callable[[int, int], Tensor], size: tuple[int, int], depth: int
    ) -> None:
        self._score_rows = score_rows
        self.size, self.depth = size, depth

    @torch.inference_mode()
    def score_rows(self, top: int, bottom: int) -> Tensor:
        return self._score_rows(top, bottom)


def normalised(scores: Tensor, dim: int) -> Tensor:
    """Class scores over their sum along `dim`, or over 1 where the sum is less: in [0,1]."""
    return scores / scores.sum(dim=dim, keepdim=True).clamp(min=1)


def _inside(groups: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Where the pixels of groups are, bool, and their groups."""
    inside = (groups >= 0) & (groups < count)
    return inside, groups[inside]


def _areas(groups: Tensor, count: int) -> Tensor:
    """(count,1): the pixels of each group, at least 1."""
    return torch.bincount(_inside(groups, count)[1], minlength=count)[:, None].clamp(min=1)
