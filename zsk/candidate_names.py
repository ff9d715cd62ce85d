"""The label map with few names per pixel: only those that can win somewhere in its tile.

The score of a name is a sum over proposals, score_k(u,v) = sum_n p_n(k) m_n(u,v). Within a tile
each mask m_n keeps to a range, and so does each score: a name whose greatest score lies below the
least of another wins nowhere in the tile. Most tiles have one name left and need no pixel at all;
the others are scored with what is left. Nothing is approximated. (Our construction; the bounds are
those of interval arithmetic.)

Measured on 2026-11-23, one CPU thread, 100 masks, 512 x 680 pixels: 0.1 s instead of 0.5 s with 20
names, 0.1 s instead of 9 s with 2,000 that some proposals favour, 0.5 s with 2,000 random ones.
On six photos with a trained model and 171 names: a sixth of the time or less, no pixel different.

Letters: N proposals, K names, C candidates, T tiles of S x S pixels, H x W image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from zsk.mask_tiles import MaskTiles
from zsk.mask_votes import MaskVotes

TILE = 16  # pixels; 8, 24 and 32 were slower where names are many and none stands out
BLOCK = 4  # tiles along a side; names that win in no block are nobody's candidates
BAND_VALUES = 4_000_000  # floats of the largest tensor while candidates are found: 16 MB
CHUNK_VALUES = 1_000_000  # and while pixels are scored: 4 MB, which stay in a CPU's cache
ROUNDING = 1e-5  # of the largest possible score: bounds nearer than this are not told apart


def labels_by_tiles(
    views: Sequence[tuple[Tensor, Tensor]], size: tuple[int, int], votes: MaskVotes = MaskVotes()
) -> Tensor:
    """The argmax over k of score_k, summed over views.

    Args:
        views: at least one (probs (N,K) float32 >= 0, mask_logits (N,h,w) float32); K is the same,
            N, h and w need not be.
        size: (H,W).
        votes: what the masks have to say.
    Returns:
        (H,W) int64 in [0,K), the lowest name where several are best. It can differ from the argmax
        of scores summed in another order only where names are as good as each other but for the
        rounding of float32.
    """
    height, width = size
    # what a proposal gives to all names alike decides nothing: rows of zeros above all
    telling = [(probs != probs[:, :1]).any(dim=1) for probs, _ in views]
    if votes.compete:  # and takes its share from the others
        telling = [t.any().expand_as(t) for t in telling]
    kept = [
        (p[t], MaskTiles(m[t], size, TILE, votes)) for (p, m), t in zip(views, telling) if t.any()
    ]
    if not kept:
        return torch.zeros(size, dtype=torch.int64, device=views[0][0].device)
    tile_rows, across = -(-height // TILE), -(-width // TILE)
    per_tile = max(max(p.shape[1], len(p) * tiles.reads) for p, tiles in kept)
    step = max(1, BAND_VALUES // (across * per_tile))
    bands = []
    for top in range(0, tile_rows, step):
        labels = _label_band(kept, top, min(top + step, tile_rows))  # (T,S*S)
        grid = labels.view(-1, across, TILE, TILE).transpose(1, 2)
        bands.append(grid.reshape(-1, across * TILE)[:, :width])
    return torch.cat(bands)[:height].contiguous()


def _label_band(views: Sequence[tuple[Tensor, MaskTiles]], top: int, bottom: int) -> Tensor:
    """The tile rows [top, bottom) -> (T,S*S) int64."""
    ranges = [tiles.ranges(top, bottom) for _, tiles in views]
    across = len(ranges[0][0]) // (bottom - top)
    # Blocks are few, so all names can be looked at there: of 2,000 that were measured 42 remained.
    blocks = [_block_ranges(*both, across) for both in ranges]
    possible = can_win([(probs, *both) for (probs, _), both in zip(views, blocks)])
    remaining = possible.any(dim=0).nonzero()[:, 0]
    views = [(probs[:, remaining], tiles) for probs, tiles in views]
    keep = can_win([(probs, *both) for (probs, _), both in zip(views, ranges)])
    # the first name that is kept: the only one of most tiles
    labels = keep.byte().argmax(dim=1)[:, None].repeat(1, TILE * TILE)
    counts, order = keep.sum(dim=1).sort(descending=True)
    order = order[counts > 1]
    least = max(len(probs) * max(TILE * TILE, tiles.reads) for probs, tiles in views)
    values = (TILE * TILE * counts).clamp(min=least).tolist()
    columns = [probs.T.contiguous() for probs, _ in views]
    for chunk in _chunks(order, values):
        names = listed(keep[chunk])
        scores = torch.zeros((), device=labels.device)
        for column, (_, tiles) in zip(columns, views):
            masks = tiles.values(top + chunk // across, chunk % across)  # (T,S*S,N)
            scores = scores + masks @ column[names].transpose(1, 2)
        labels[chunk] = names.gather(1, scores.argmax(dim=2))
    return remaining[labels]


def _block_ranges(least: Tensor, greatest: Tensor, across: int) -> tuple[Tensor, Tensor]:
    """Ranges (T,N) in rows of `across` tiles -> those of blocks of tiles, fewer rows of N."""

    def greatest_of_blocks(values: Tensor) -> Tensor:
        grid = values.T.unflatten(1, (-1, across))
        return F.max_pool2d(grid, BLOCK, ceil_mode=True).flatten(1).T

    return -greatest_of_blocks(-least), greatest_of_blocks(greatest)


def can_win(views: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """Which names may be best somewhere, given between which bounds the masks lie.

    Args:
        views: (probs (N,K), least (T,N), greatest (T,N)) of each.
    Returns:
        (T,K) bool, at least one name per tile.
    """
    middle = spread = slack = torch.zeros((), device=views[0][0].device)
    for probs, least, greatest in views:
        # Only differences between names decide. What is taken off all names of a proposal narrows
        # the ranges of the scores; the median narrows them most.
        above = probs - probs.median(dim=1, keepdim=True).values
        middle = middle + (least + greatest) / 2 @ above
        spread = spread + (greatest - least) / 2 @ above.abs()
        slack = slack + ROUNDING * (greatest @ probs.amax(dim=1))
    assured = (middle - spread).amax(dim=1) - slack
    return ~(middle + spread < assured[:, None])  # what is not a number is kept


def _chunks(order: Tensor, values: Sequence[int]) -> Iterator[Tensor]:
    """`order` in parts of bounded memory; the tiles take ever fewer `values`."""
    start = 0
    while start < len(order):
        stop = start + max(1, CHUNK_VALUES // values[start])
        yield order[start:stop]
        start = stop


def listed(keep: Tensor) -> Tensor:
    """(T,K) bool -> (T,C) the names of each tile, ascending; short rows repeat their first.

    A repeated name comes after all others, so it changes no argmax.
    """
    tile, name = keep.nonzero(as_tuple=True)
    counts = keep.sum(dim=1)
    starts = counts.cumsum(dim=0) - counts
    names = name[starts][:, None].repeat(1, int(counts.max()))
    names[tile, torch.arange(len(tile), device=tile.device) - starts[tile]] = name
    return names
