"""Scores of the proposal head and of the region classifier, combined. Pure functions.

Letters: N proposals, K classes. The head's probabilities come from a softmax over K + 1 columns
whose no-object column was dropped without renormalising: a row may sum to less than 1.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from zsk.errors import UserError

EnsembleMode = Literal["ensemble", "head", "clip"]


def check_ensemble(mode: str, lam: float, seen_penalty: float) -> None:
    """Raises UserError for values that MODEL.ENSEMBLE cannot have."""
    if mode not in get_args(EnsembleMode):
        raise UserError(
            f"MODEL.ENSEMBLE.MODE is {mode!r}: choose one of {', '.join(get_args(EnsembleMode))}"
        )
    if not 0 <= lam <= 1:
        raise UserError(f"MODEL.ENSEMBLE.LAMBDA is {lam}, but has to be between 0 and 1")
    if not seen_penalty >= 0:
        raise UserError(f"MODEL.ENSEMBLE.SEEN_PENALTY is {seen_penalty}, but must not be < 0")


def head_probabilities(logits: Tensor, seen_mask: Tensor, seen_penalty: float) -> Tensor:
    """The head's class probabilities, with seen classes handicapped (0: the method).

    A head that learned on seen classes alone answers with them. Subtracting a constant from their
    logits is calibrated stacking (Chao et al., ECCV 2016). It only moves probability between names:
    that of no object stays what it was. Choose it with classes held out of the seen ones.

    Args:
        logits: (N,K+1) float, no-object last.
        seen_mask: (K,) bool.
        seen_penalty: ≥ 0, in units of the logits.

    Returns:
        (N,K) in [0,1]: the no-object column takes part in the softmax and is dropped then.
    """
    object_probs = 1 - logits.softmax(dim=-1)[:, -1:]
    penalty = seen_mask.to(logits.device) * seen_penalty
    return object_probs * (logits[:, :-1] - penalty).softmax(dim=-1)


def combine(
    mode: EnsembleMode,
    head_probs: Tensor,
    clip_probs: Tensor,
    valid: Tensor,
    seen_mask: Tensor,
    lam: float,
) -> Tensor:
    """The class scores of the final map, by configuration.

    Args:
        mode: "ensemble" for geometric_ensemble, "head" for the head alone, "clip" for the region
            classifier alone (where an invalid proposal scores 0).
        others: as in geometric_ensemble.

    Returns:
        (N,K) float32 in [0,1].

    Raises:
        UserError: another mode, or a weight outside [0,1].
    """
    if mode not in get_args(EnsembleMode):
        known = ", ".join(get_args(EnsembleMode))
        raise UserError(f"the ensemble mode {mode!r} does not exist: choose one of {known}")
    if mode == "head":
        return head_probs
    if mode == "clip":
        return clip_probs * valid[:, None]
    return geometric_ensemble(head_probs, clip_probs, valid, seen_mask, lam)


def geometric_ensemble(
    head_probs: Tensor, clip_probs: Tensor, valid: Tensor, seen_mask: Tensor, lam: float
) -> Tensor:
    """head^λ · clip^(1-λ) for seen classes, head^(1-λ) · clip^λ for unseen ones (section 4).

    Args:
        head_probs: (N,K) float32 in [0,1].
        clip_probs: (N,K) float32 in [0,1].
        valid: (N,) bool; a proposal without a valid mask keeps its head_probs, since a constant in
            place of clip_probs would favour the empty ones.
        seen_mask: (K,) bool.
        lam: λ in [0,1].

    Returns:
        (N,K) float32 in [0,1], not normalised.

    Raises:
        UserError: λ outside [0,1].
    """
    if not 0 <= lam <= 1:
        raise UserError(f"the ensemble weight λ must be between 0 and 1, but is {lam}")
    head_exponent = torch.where(seen_mask.to(head_probs.device), lam, 1 - lam)
    scores = head_probs**head_exponent * clip_probs ** (1 - head_exponent)
    return torch.where(valid[:, None], scores, head_probs)
