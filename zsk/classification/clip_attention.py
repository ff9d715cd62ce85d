"""Attention of regions to the patches under their masks: pure functions.

Letters: T tokens, R regions, P patches, M heads, d channels of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor


def region_attention(
    queries: Tensor, keys: Tensor, values: Tensor, patches: tuple[Tensor, Tensor], bias: Tensor
) -> Tensor:
    """Region tokens look at themselves and at patches, never at one another.

    Args:
        queries, keys, values: (M,R,d), of the region tokens.
        patches: keys and values (M,P,d) of the patches.
        bias: (R,P), added to the logits; -inf hides a patch. Each token always sees itself.

    Returns:
        (R,M·d), before the output projection.
    """
    queries = queries * queries.shape[-1] ** -0.5
    own = (queries * keys).sum(dim=-1, keepdim=True)  # (M,R,1): R×R logits are never made
    logits = torch.cat([own, queries @ patches[0].transpose(1, 2) + bias], dim=-1)
    weights = logits.softmax(dim=-1)
    return merge_heads(weights[..., :1] * values + weights[..., 1:] @ patches[1])


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """(T,M·d) → (M,T,d)."""
    return tokens.unflatten(1, (heads, -1)).transpose(0, 1)


def merge_heads(tokens: Tensor) -> Tensor:
    """(M,T,d) → (T,M·d)."""
    return tokens.transpose(0, 1).flatten(1)
