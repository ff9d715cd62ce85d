"""Photos, positions, masks and attention on a grid of patches: pure functions.

Letters: H×W photo, p side of a patch in pixels, h×w grid of patches and P = h·w, R regions, C width
of the tower, T tokens, M heads, d channels of a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

MAX_ASPECT = 4  # a photo more elongated than that is squashed to it: bounds the number of patches


def fit_to_patches(photo: Tensor, patch: int, shorter_side: int | None = None) -> Tensor:
    """(3,H,W) → (3,h·p,w·p): resized to a whole number of patches, at least one.

    Not padded: the grid then covers the photo and nothing else, and no patch sees an edge that is
    not there. The aspect changes by less than half a patch.

    Args:
        photo: (3,H,W) float32.
        patch: p.
        shorter_side: in pixels, about; the longer one follows, up to MAX_ASPECT times that. None:
            the photo keeps its size.
    """
    height, width = photo.shape[-2:]
    scale, limit = 1.0, float("inf")
    if shorter_side is not None:
        scale, limit = shorter_side / min(height, width), MAX_ASPECT * shorter_side
    size = [max(1, round(min(side * scale, limit) / patch)) * patch for side in (height, width)]
    if [height, width] == size:
        return photo
    return F.interpolate(photo[None], size, mode="bicubic", antialias=True)[0]


def resize_positions(positions: Tensor, size: Sequence[int]) -> Tensor:
    """(1+g²,C), a token without a place and a g×g grid → (1+h·w,C): bicubic, itself for g×g."""
    side = round((len(positions) - 1) ** 0.5)
    if list(size) == [side, side]:
        return positions
    grid = positions[1:].T.unflatten(1, (side, side))[None]
    resized = F.interpolate(grid, list(size), mode="bicubic", antialias=True)
    return torch.cat([positions[:1], resized[0].flatten(1).T])


def patch_coverage(masks: Tensor, size: Sequence[int]) -> Tensor:
    """How much of each patch a mask covers, relative to the patch it covers best.

    Args:
        masks: (R,h',w') float in [0,1], over the whole photo at any resolution, none empty.
        size: (h,w).

    Returns:
        (R,P) float32 in [0,1], 1 in the best patch of each row. Without this scaling, a choice of
        this project, a mask smaller than every patch would attend to itself almost only.
    """
    rows, columns = (
        _shares(old, new).to(masks.device) for old, new in zip(masks.shape[-2:], size, strict=True)
    )
    coverage = (rows @ masks.float() @ columns.T).flatten(1)
    return coverage / coverage.amax(dim=1, keepdim=True)


def _shares(old: int, new: int) -> Tensor:
    """(new,old) float32: the share of each of `new` equal intervals that lies in each of `old`.

    Both divide the same line. In integers, so that neighbours that only touch share exactly 0.
    """
    begins = torch.arange(new)[:, None] * old
    old_begins = torch.arange(old) * new
    ends = torch.minimum(begins + old, old_begins + new)
    return (ends - torch.maximum(begins, old_begins)).clamp(min=0) / old


def region_attention(
    own: Sequence[Tensor], seen: Sequence[Tensor], bias: Tensor, heads: int
) -> Tensor:
    """Region tokens look at themselves and at patches, never at one another.

    Args:
        own: queries, keys and values (R,M·d) of the region tokens.
        seen: keys and values (P,M·d) of the patches.
        bias: (R,P), added to the logits; -inf hides a patch. Each token always sees itself.
        heads: M.

    Returns:
        (R,M·d), before the output projection.
    """
    queries, keys, values, *patches = (split_heads(part, heads) for part in (*own, *seen))
    queries = queries * queries.shape[-1] ** -0.5
    itself = (queries * keys).sum(dim=-1, keepdim=True)  # (M,R,1): R×R logits are never made
    logits = torch.cat([itself, queries @ patches[0].transpose(1, 2) + bias], dim=-1)
    weights = logits.softmax(dim=-1)
    return merge_heads(weights[..., :1] * values + weights[..., 1:] @ patches[1])


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """(T,M·d) → (M,T,d)."""
    return tokens.unflatten(1, (heads, -1)).transpose(0, 1)


def merge_heads(tokens: Tensor) -> Tensor:
    """(M,T,d) → (T,M·d)."""
    return tokens.transpose(0, 1).flatten(1)
