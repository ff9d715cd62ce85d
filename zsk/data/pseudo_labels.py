"""Class scores of a teacher -> labels of unseen classes at pixels without a label.

Pure functions. Letters: K classes, V views of an image, H x W image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Guess(NamedTuple):
    """The best unseen class of every pixel in one view, turned back to the image."""

    labels: Tensor  # (H,W) int64, joint ids; the lowest where several are best
    confidence: Tensor  # (H,W) float32 >= 0, the score of that class
    rank: Tensor  # (H,W) int64 in [1,K] among all classes, behind seen ones of the same score

    def mirrored(self) -> Guess:
        return Guess(*(map_.flip(-1) for map_ in self))


class Rule(NamedTuple):
    """Which guesses become labels, and how much they weigh; see SELF_TRAINING in `zsk.config`."""

    worst_rank: int | None = None  # of the guessed class among all classes; None: any
    share: float = 1.0  # in (0,1], of the pixels of an image and a class: the highest scores
    anneal: float = 0.0  # T >= 0


def best_unseen(scores: Tensor, seen: Tensor) -> Guess:
    """Class scores (K,H,W) >= 0 and seen flags (K,) bool, one or more of them False."""
    unseen = (~seen).nonzero()[:, 0]
    confidence, winner = scores[unseen].max(dim=0)
    rank = 1 + (scores[seen] >= confidence).sum(dim=0)
    return Guess(unseen[winner], confidence, rank)


def kept_guesses(views: Sequence[Guess], free: Tensor, rule: Rule) -> Tensor:
    """The pixels whose guess becomes a label: (H,W) bool.

    Args:
        views: one or more; their classes have to agree, and each has to keep the rule's rank. A
            score of 0 is no guess.
        free: (H,W) bool, the pixels without a label.
    """
    first, kept = views[0], free
    for guess in views:
        kept = kept & (guess.labels == first.labels) & (guess.confidence > 0)
        if rule.worst_rank is not None:
            kept = kept & (guess.rank <= rule.worst_rank)
    return kept if rule.share == 1 else most_confident(first, kept, rule.share)


def most_confident(guess: Guess, among: Tensor, share: float) -> Tensor:
    """Of the pixels `among` (H,W) bool, for each class the share with the highest scores.

    Their number is rounded up; of equal scores, the first pixels count.
    """
    kept = torch.zeros_like(among)
    for label in guess.labels[among].unique():
        places = (among & (guess.labels == label)).flatten().nonzero()[:, 0]
        order = guess.confidence.flatten()[places].argsort(descending=True, stable=True)
        kept.view(-1)[places[order[: math.ceil(share * len(places))]]] = True
    return kept


def annealed_weights(confidence: Tensor, kept: Tensor, anneal: float) -> Tensor:
    """What every pixel weighs in the loss: (H,W) float32 in [0,1]; 1 where nothing was guessed.

    SIGN's annealed self-training: the softmax of T times the confidence over the kept pixels of the
    image, over its maximum, is exp(T (c - c_max)).
    """
    weights = torch.ones_like(confidence)
    if kept.any():
        scores = anneal * confidence[kept]
        weights[kept] = (scores - scores.max()).exp()
    return weights
