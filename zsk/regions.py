"""What one look at a photo leaves, and naming it: pure functions (method, sections 2 to 4).

Nothing in `Regions` depends on the class names, so one look serves any number of vocabularies.

Letters: N proposals, h×w masks, E embedding width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from zsk.looks.true_scale import Box

EnsembleMode = Literal["ensemble", "head", "clip"]
ClassLogits = Callable[[Tensor, Tensor], Tensor]
"""Embeddings (N,E) and text (K,E) → logits (N,K+1), no-object last: `ProposalHead.class_logits`."""


class Regions(NamedTuple):
    """The mask proposals of one photo and what they show.

    masks: (N,h,w) float32 mask logits over the padded photo.
    head_embeddings: (N,E) float32, of the proposal head (another width with CLASSIFIER linear).
    clip_embeddings: (N,E) float32, of the region encoder; None where CLIP did not look.
    valid: (N,) bool, whether a proposal has a CLIP embedding; None where CLIP did not look.
    box: the photo on the masks; None where they cover it and nothing else.
    """

    masks: Tensor
    head_embeddings: Tensor
    clip_embeddings: Tensor | None = None
    valid: Tensor | None = None
    box: Box | None = None

    def mirrored(self) -> Regions:
        """With the masks of the photo from right to left."""
        box = self.box and self.box.mirrored(self.masks.shape[-1])
        return self._replace(masks=self.masks.flip(-1), box=box)


@dataclass(frozen=True)
class Ensemble:
    """How the opinions of the head and of CLIP are combined (MODEL.ENSEMBLE).

    Attributes:
        mode: "ensemble", or "head" or "clip" for one of them alone.
        lam: λ in [0,1], see `geometric_ensemble`.
        seen_penalty: ≥ 0, taken off the head's logits of seen classes, see `head_probabilities`.
        empty: what a proposal without a pixel has, see `geometric_ensemble`.
        penalty_on: "logits", or "probabilities", or "distances": see
            `zsk.baselines.per_pixel.calibration`, of systems without masks in mode head.
    """

    mode: EnsembleMode = "ensemble"
    lam: float = 0.7
    seen_penalty: float = 0.0
    empty: Literal["head", "one"] = "head"
    penalty_on: Literal["logits", "probabilities", "distances"] = "logits"


class RegionScores(NamedTuple):
    """What the proposals of a photo are called, each tensor (N,K) float32 in [0,1].

    scores: of the ensemble; a row need not sum to 1.
    head, clip: the opinions that it combines; None where there is none.
    """

    scores: Tensor
    head: Tensor | None
    clip: Tensor | None


def name_regions(
    regions: Regions,
    text: Tensor,
    seen: Tensor,
    *,
    class_logits: ClassLogits,
    clip_temperature: float,
    ensemble: Ensemble,
    region_text: Tensor | None = None,
) -> RegionScores:
    """Class scores of all proposals.

    Args:
        text: (K,E) float32 unit rows, the embeddings of the class names.
        seen: (K,) bool, the classes that training had masks of.
        class_logits: of the proposal head.
        clip_temperature: τ, the factor on CLIP's cosines.
        region_text: `text` from another prompt, which CLIP's embeddings of the regions are compared
            with; None for `text`.
    """
    head = None
    if ensemble.mode != "clip":
        logits = class_logits(regions.head_embeddings, text)
        head = head_probabilities(logits, seen, ensemble.seen_penalty)
        if ensemble.mode == "head":
            return RegionScores(head, head, None)
    assert regions.clip_embeddings is not None and regions.valid is not None
    region_text = text if region_text is None else region_text
    clip = (clip_temperature * regions.clip_embeddings @ region_text.float().T).softmax(dim=-1)
    looked_at = clip * regions.valid[:, None]
    if head is None:
        return RegionScores(looked_at, None, looked_at)
    scores = geometric_ensemble(head, clip, regions.valid, seen, ensemble.lam, ensemble.empty)
    return RegionScores(scores, head, looked_at)


def head_probabilities(logits: Tensor, seen: Tensor, seen_penalty: float) -> Tensor:
    """Class probabilities of the head: the softmax over K+1 columns without the no-object column.

    The penalty is calibrated stacking (Chao et al., ECCV 2016): a constant is subtracted from the
    logits of seen classes, which a head that was trained on them prefers. It moves probability
    between the names; that of no-object stays. It is applied in log space, since 1 - p(no object)
    rounds to 0 in float32 where the exact value still counts in the ensemble.

    Args:
        logits: (…,K+1) float, no-object last.
        seen: (K,) bool.
        seen_penalty: ≥ 0, in units of the logits; 0 is the method.

    Returns:
        (…,K) in [0,1].
    """
    if not seen_penalty:
        return logits.softmax(dim=-1)[..., :-1]
    names = logits.log_softmax(dim=-1)[..., :-1]
    log_object = names.logsumexp(dim=-1, keepdim=True)
    penalty = seen.to(logits.device) * seen_penalty
    return (log_object + (names - penalty).log_softmax(dim=-1)).exp()


def geometric_ensemble(
    head: Tensor, clip: Tensor, valid: Tensor, seen: Tensor, lam: float, empty: str = "head"
) -> Tensor:
    """head^λ · clip^(1-λ) for seen classes, head^(1-λ) · clip^λ for unseen ones (section 4).

    Args:
        head, clip: (…,K) float32 in [0,1], of proposals or pixels.
        valid: (…) bool; an invalid proposal keeps its head probabilities, since a constant in
            place of `clip` would favour empty proposals.
        seen: (K,) bool.
        lam: λ in [0,1].
        empty: "one" puts that constant, 1, in place of `clip` (public ZS-MaskFormer).

    Returns:
        (…,K) float32 in [0,1], not normalised.
    """
    exponent = torch.where(seen.to(head.device), lam, 1 - lam)
    if empty == "one":
        return head**exponent * torch.where(valid[..., None], clip, 1.0) ** (1 - exponent)
    scores = head**exponent * clip ** (1 - exponent)
    return torch.where(valid[..., None], scores, head)
