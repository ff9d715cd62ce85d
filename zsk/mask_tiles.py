"""Masks looked at tile by tile: the range of their votes there, and their votes at its pixels.

Letters: N masks, h x w masks, H x W image, T tiles of S x S pixels, A places that a tile reads
along an axis of the masks.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zsk.mask_votes import MaskVotes


class TileAxis(NamedTuple):
    """Where the tiles along one axis of the image read the masks, and with which weights.

    Attributes:
        places: (T,A) int64 indices along the masks' axis; short rows repeat their last.
        weights: (T,S,A) float32, rows of sum 1: bilinear interpolation, corners not aligned.
    """

    places: Tensor
    weights: Tensor

    @classmethod
    def of(cls, size: int, source: int, side: int, device: torch.device) -> TileAxis:
        """`size` pixels in tiles of `side`, read from `source` cells; the last pixel is repeated to
        fill the last tile."""
        tiles = -(-size // side)
        pixels = torch.arange(tiles * side, device=device).clamp(max=size - 1).view(tiles, side)
        position = ((pixels + 0.5) * (source / size) - 0.5).clamp(min=0)
        above = position.floor().long().clamp(max=source - 1)
        below = (above + 1).clamp(max=source - 1)
        weight = (position - above)[..., None]
        first, last = above[:, :1], below[:, -1:]
        reads = torch.arange(int((last - first).max()) + 1, device=device)
        weights = torch.zeros(tiles, side, len(reads), device=device)
        weights.scatter_add_(2, (above - first)[..., None], 1 - weight)
        weights.scatter_add_(2, (below - first)[..., None], weight)
        return cls(torch.minimum(first + reads, last), weights)


class MaskTiles:
    """The votes of one view's masks, resized to the image, never there as a whole.

    A tile is known by its row and its column among the tiles.
    """

    def __init__(
        self,
        mask_logits: Tensor,
        size: tuple[int, int],
        side: int,
        votes: MaskVotes = MaskVotes(),
    ) -> None:
        """mask_logits (N,h,w) float32; size (H,W); side S, in pixels; votes: of the logits."""
        _, height, width = mask_logits.shape
        # (h,w,N): all masks of a place lie side by side, so that gathering a place is one copy
        self.logits = mask_logits.permute(1, 2, 0).contiguous()
        self.votes = votes
        self.rows = TileAxis.of(size[0], height, side, mask_logits.device)
        self.columns = TileAxis.of(size[1], width, side, mask_logits.device)
        self.reads = self.rows.places.shape[1] * self.columns.places.shape[1]  # A*A of a tile

    def ranges(self, top: int, bottom: int) -> tuple[Tensor, Tensor]:
        """Least and greatest value in the tiles of the tile rows [top, bottom): (T,N) twice.

        Bounds, not always reached: those of the places that a tile reads. Interpolation never
        leaves the range of what it reads; from that of the logits follows that of the votes.
        """
        band = self.logits[self.rows.places[top:bottom]]  # (rows,A,w,N)
        least, greatest = band.amin(dim=1), band.amax(dim=1)
        places = self.columns.places
        return self.votes.bounds(
            least[:, places].amin(dim=2).flatten(0, 1),
            greatest[:, places].amax(dim=2).flatten(0, 1),
        )

    def values(self, rows: Tensor, columns: Tensor) -> Tensor:
        """The votes at the pixels of T tiles, given by row and column (T,): (T,S*S,N) in [0,1]."""
        down, across = self.rows.weights[rows], self.columns.weights[columns]
        read = self.logits[
            self.rows.places[rows][:, :, None], self.columns.places[columns][:, None]
        ]
        lines = across[:, None] @ read  # (T,A,S,N)
        pixels = down @ lines.flatten(2)  # (T,S,S*N)
        return self.votes(pixels.view(len(rows), -1, self.logits.shape[2]), dim=2)
