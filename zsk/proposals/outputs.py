"""What every proposal head returns, one for each of its stages."""

from typing import NamedTuple

from torch import Tensor


class Proposals(NamedTuple):
    """What one stage predicts. B images, N proposals, K classes, h x w masks."""

    pred_logits: Tensor  # (B,N,K+1) float32, the no-object class last
    pred_masks: Tensor  # (B,N,h,w) mask logits
