"""Mask losses and their all-pairs forms for matching: pure functions, float32.

Every function takes `valid` (P,): 0 where the label is to be ignored, else 1. Pixels that do not
count are in neither numerator nor denominator.

Shape letters: N predictions, G segments, P pixels. Focal: Lin et al. 2017 (alpha 0.25, gamma 2);
dice: Milletari et al. 2016, with 1 added above and below so that empty against empty costs nothing.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from zsk.vocabulary import IGNORE_LABEL

ALPHA, GAMMA = 0.25, 2.0


def _focal_terms(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Focal loss of each logit were its target 1, and were it 0."""
    prob = logits.sigmoid()
    positive = ALPHA * (1 - prob) ** GAMMA * F.softplus(-logits)
    negative = (1 - ALPHA) * prob**GAMMA * F.softplus(logits)
    return positive, negative


def focal_loss(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """logits (G,P), targets (G,P) in {0,1}, valid (G,P) -> (G,): mean over the valid pixels."""
    positive, negative = _focal_terms(logits)
    loss = (positive * targets + negative * (1 - targets)) * valid
    return loss.sum(dim=1) / valid.sum(dim=1).clamp(min=1)


def dice_loss(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """logits (G,P), targets (G,P), valid (G,P) -> (G,), 0 where a mask is right everywhere."""
    prob = logits.sigmoid() * valid
    targets = targets * valid
    overlap = (prob * targets).sum(dim=1)
    return 1 - (2 * overlap + 1) / (prob.sum(dim=1) + targets.sum(dim=1) + 1)


def pairwise_focal(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """logits (N,P), targets (G,P), valid (P,) -> (N,G): `focal_loss` of every pair."""
    positive, negative = _focal_terms(logits)
    cost = positive @ (targets * valid).T + negative @ ((1 - targets) * valid).T
    return cost / valid.sum().clamp(min=1)


def pairwise_dice(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """logits (N,P), targets (G,P), valid (P,) -> (N,G): `dice_loss` of every pair."""
    prob = logits.sigmoid() * valid
    targets = targets * valid
    overlap = prob @ targets.T
    return 1 - (2 * overlap + 1) / (prob.sum(dim=1)[:, None] + targets.sum(dim=1)[None, :] + 1)


def class_loss(logits: Tensor, targets: Tensor, no_object_weight: float) -> Tensor:
    """Cross-entropy with the last class (no object) weighted down: a weighted mean, a scalar.

    logits (M,K+1), targets (M,) int64 in [0, K], or IGNORE_LABEL for rows that do not count. A
    vocabulary has fewer classes than that.
    """
    counted = targets != IGNORE_LABEL
    logits, targets = logits[counted], targets[counted]
    no_object = logits.shape[1] - 1
    weights = torch.where(targets == no_object, no_object_weight, 1.0).to(logits.dtype)
    losses = F.cross_entropy(logits, targets, reduction="none")
    return (losses * weights).sum() / weights.sum().clamp(min=1e-6)
