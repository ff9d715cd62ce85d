"""CLIP's text tower on free vectors in place of some tokens: what learned prompts go through.

Letters: K names, T tokens, L tokens of the longest sequence, P and Q context vectors before and
after the name, W width of the text tower, E width of the shared space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def features_in_context(
    model: Any, names: Sequence[Tensor], prefix: Tensor, suffix: Tensor
) -> Tensor:
    """The text features of "prefix name suffix", with gradient for prefix and suffix.

    Args:
        model: OpenAI's CLIP.
        names: K ≥ 1 int64 (T,) token ids on the model's device, start and end token included.
        prefix: (P,W) float. suffix: (Q,W) float. P + T + Q must not exceed the context length.

    Returns:
        (K,E) in the model's precision, not normalised.
    """
    prefix, suffix = prefix.to(model.dtype), suffix.to(model.dtype)
    sequences = []
    for ids in names:
        tokens = model.token_embedding(ids).to(model.dtype)
        sequences.append(torch.cat([tokens[:1], prefix, tokens[1:-1], suffix, tokens[-1:]]))
    ends = torch.tensor([len(sequence) - 1 for sequence in sequences])
    # What follows the end token is never looked at (attention is causal): the sequences end with
    # the longest of them, which for short names is several times cheaper than the full length.
    x = pad_sequence(sequences, batch_first=True)
    x = x + model.positional_embedding[: x.shape[1]].to(model.dtype)
    x = x.transpose(0, 1)
    hidden = torch.full((len(x), len(x)), float("-inf"), device=x.device, dtype=x.dtype).triu(1)
    for block in model.transformer.resblocks:  # which itself insists on the full context length
        normed = block.ln_1(x)
        x = x + block.attn(normed, normed, normed, need_weights=False, attn_mask=hidden)[0]
        x = x + block.mlp(block.ln_2(x))
    x = model.ln_final(x.transpose(0, 1)).to(model.dtype)
    return x[torch.arange(len(ends)), ends] @ model.text_projection
