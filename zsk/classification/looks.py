"""Several looks at one proposal, cut at different thresholds, become one answer: a pure function.

A mask cut low shows more of the neighbours, cut high less of the thing; a name that fits both is
more often right (our choice, one threshold by default; measured in docs/results.md).

Letters: L looks, N proposals, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def merge_looks(logits: Tensor, shown: Tensor) -> Tensor:
    """The normalised geometric mean of the looks' probabilities: the softmax of their mean logits.

    Args:
        logits: (L,N,K) float32.
        shown: (L,N) bool, false where a look had no pixel: it has no part in the mean.

    Returns:
        (N,K) float32, rows sum to 1, or are 0 where no look had a pixel.
    """
    counts = shown.sum(dim=0)[:, None]
    mean = torch.where(shown[..., None], logits, 0.0).sum(dim=0) / counts.clamp(min=1)
    return mean.softmax(dim=1) * (counts > 0)
