"""What a proposal head gives, and the interface that every proposal head has.

Shape letters: B images, N proposals, E embedding width, K classes, h x w masks.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from torch import Tensor


class Proposals(NamedTuple):
    """The proposals of one stage, before any class name is known."""

    embeddings: Tensor  # (B,N,E) float32 for class scores; with CLASSIFIER linear of another width
    masks: Tensor  # (B,N,h,w) mask logits


class ScoredProposals(NamedTuple):
    """The proposals of one stage, scored against a vocabulary."""

    pred_logits: Tensor  # (B,N,K+1) float32, the no-object class last
    pred_masks: Tensor  # (B,N,h,w) mask logits


class ProposalHead(Protocol):
    """A SEM_SEG_HEAD of ZSKNet: built as `Head(cfg, input_shape, embed_dim)`, E = embed_dim."""

    def __call__(self, features: Mapping[str, Tensor]) -> list[Proposals]:
        """Backbone features -> the proposals of every supervised stage, the final ones last."""

    def class_logits(self, embeddings: Tensor, text: Tensor, stage: int = -1) -> Tensor:
        """Embeddings (…,N,E), text (K,E) unit rows -> logits (…,N,K+1) float32.

        `stage` says which of the proposals the embeddings are from; -1, the last, is used at
        inference.
        """
