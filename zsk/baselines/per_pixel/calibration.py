"""What the scores of seen classes lose when all classes are named, per pixel (MODEL.ENSEMBLE).

Letter: K classes.
"""

import torch
from torch import Tensor

from zsk.regions import Ensemble


def calibrated_logits(logits: Tensor, seen: Tensor, ensemble: Ensemble) -> Tensor:
    """Logits (K,…), seen (K,) bool -> logits less the penalty, where it is one on logits."""
    if ensemble.penalty_on == "distances":
        return apollonius(logits, seen, 1 - ensemble.seen_penalty)
    if ensemble.penalty_on == "logits":
        return logits - ensemble.seen_penalty * _column(seen, logits)
    return logits


def calibrated_scores(probabilities: Tensor, seen: Tensor, ensemble: Ensemble) -> Tensor:
    """Probabilities (K,…), seen (K,) bool -> scores in [0,1].

    A penalty on probabilities is taken from those of seen classes (SPNet), down to 0; an unseen
    class is over 0, so that it wins where no seen one is over the penalty. Where all classes are
    seen, or there is no penalty or one on something else, nothing changes.
    """
    penalised = ensemble.penalty_on == "probabilities" and ensemble.seen_penalty > 0
    if not penalised or bool(seen.all()):
        return probabilities
    # nothing is added to unseen ones: float32 would lose the order of small ones
    return torch.where(
        _column(seen, probabilities),
        (probabilities - ensemble.seen_penalty).clamp(min=0),
        probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny),
    )


def apollonius(distances: Tensor, seen: Tensor, factor: float) -> Tensor:
    """Minus squared distances (K,…), with that of an unseen class multiplied by `factor` (< 1).

    Only where the class is one of the two nearest: the border between a seen and an unseen
    prototype becomes a circle of Apollonius (JoEm: Baek et al., ICCV 2021).
    """
    nearest = torch.zeros_like(distances, dtype=torch.bool)
    nearest.scatter_(0, distances.topk(min(2, len(distances)), dim=0).indices, True)
    return torch.where(nearest & ~_column(seen, distances), factor * distances, distances)


def _column(seen: Tensor, scores: Tensor) -> Tensor:
    """(K,) bool as (K,1,…) beside scores (K,…)."""
    return seen.to(scores.device).view(-1, *[1] * (scores.dim() - 1))
