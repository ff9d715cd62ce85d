"""How much each mask has to say at a pixel: functions of the mask logits.

The method's masks vote independently, each by its sigmoid: several proposals of one object add up,
and a pixel that none covers is decided by their tails. Masks that compete share one vote per pixel
by a softmax over the proposals (our choice, off by default).

Letters: N masks, T tiles of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zsk.errors import UserError

LARGE = 1e4  # stands for infinite logits
ROUNDING = 1e-6  # of a sum of exponentials: what float32 may lose when one of them is taken off


@dataclass(frozen=True)
class MaskVotes:
    """Mask logits -> votes in [0,1].

    Args:
        sharpness: 0 for sigmoid(M_n), independent of the other masks; s > 0 for
            softmax_n(s * M_n): of two masks, the first then has sigmoid(s * (M_1 - M_2)).

    Raises UserError for a number that is negative or not finite.
    """

    sharpness: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.sharpness < float("inf"):
            raise UserError(
                f"MODEL.ENSEMBLE.MASK_SOFTMAX is {self.sharpness}, but has to be a finite number, "
                "0.0 for the method's sigmoids or more"
            )

    @property
    def compete(self) -> bool:
        """Whether a mask's vote depends on the other masks."""
        return self.sharpness > 0

    def __call__(self, logits: Tensor, dim: int) -> Tensor:
        """Logits with the N masks along `dim` -> votes of the same shape."""
        if not self.compete:
            return logits.sigmoid()
        return (self.sharpness * _finite(logits)).softmax(dim)

    def bounds(self, least: Tensor, greatest: Tensor) -> tuple[Tensor, Tensor]:
        """Least and greatest logits (T,N) of regions -> least and greatest votes, (T,N) twice.

        Bounds, not always reached: a vote is smallest where its own logit is least and all others
        are greatest, which may happen at no pixel.
        """
        if not self.compete:
            return least.sigmoid(), greatest.sigmoid()
        least, greatest = _finite(least), _finite(greatest)
        # a softmax knows differences alone; without what all have in common floats are finest
        top = greatest.amax(dim=1, keepdim=True)
        least, greatest = self.sharpness * (least - top), self.sharpness * (greatest - top)
        return (
            (least - _log_of_others(greatest, 1 + ROUNDING)).sigmoid(),
            (greatest - _log_of_others(least, 1 - ROUNDING)).sigmoid(),
        )


def _finite(logits: Tensor) -> Tensor:
    """What is not a number is no mask: in a softmax it would take all others with it."""
    return logits.nan_to_num(nan=-LARGE, posinf=LARGE, neginf=-LARGE)


def _log_of_others(logs: Tensor, margin: float) -> Tensor:
    """(T,N) logarithms -> of the sum of all but each, (T,N).

    The sum of all less one's own is a difference of nearly equal numbers where that one is most of
    it, so the sum is first multiplied with `margin`: over 1 the result is no less than exact, below
    1 it is no more, but never under the largest of the others.
    """
    shift = logs.amax(dim=1, keepdim=True)
    parts = (logs - shift).exp()
    rest = parts.sum(dim=1, keepdim=True) * margin - parts
    others = rest.clamp(min=0).log() + shift
    if margin > 1 or logs.shape[1] < 2:
        return others
    first, second = logs.topk(2, dim=1).values.split(1, dim=1)
    return torch.maximum(others, torch.where(logs == first, second, first))
