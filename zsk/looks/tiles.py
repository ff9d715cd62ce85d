"""A photo in overlapping tiles (TEST.TILES): each is looked at alone, their scores are averaged.

So a large photo needs no more memory in the network than a tile, and need not be shrunk. A proposal
lies within one tile.

Letters: H x W result, T tiles, N proposals of a tile, K classes, h x w masks.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from zsk.answer import Answer, PixelAnswer
from zsk.label_map import View, vote_rows
from zsk.looks.batched_inputs import PhotoModel
from zsk.regions import Regions
from zsk.vocabulary import Vocabulary
from zsk.zsk_net import ZSKNet

OVERLAP = 0.25  # of a tile's side, at least


class Tile(NamedTuple):
    """The regions of a tile and where it lies, as shares of the photo's height and width."""

    regions: Regions
    rows: tuple[float, float]  # top and bottom edge in [0,1]
    columns: tuple[float, float]  # left and right edge


class ZSKNetInTiles(PhotoModel):
    """Looks at a photo tile by tile, one after the other."""

    def __init__(self, model: ZSKNet, side: int):
        """
        Args:
            model: in evaluation mode when it is called.
            side: of the tiles in pixels; a photo that is no larger is looked at as a whole.
        """
        super().__init__()
        self.model = model
        self.side = side

    def look(self, images: Sequence[Tensor]) -> list[list[Tile]]:
        """Images (3,H,W) uint8 -> the tiles of each, row by row."""
        return [self._tiles(image) for image in images]

    def _tiles(self, image: Tensor) -> list[Tile]:
        height, width = image.shape[-2:]
        tiles = []
        for top, bottom in tile_edges(height, self.side):
            for left, right in tile_edges(width, self.side):
                (regions,) = self.model.look([image[:, top:bottom, left:right]])
                rows, columns = (top / height, bottom / height), (left / width, right / width)
                tiles.append(Tile(regions, rows, columns))
        return tiles

    def answer(
        self,
        look: Sequence[Tile],
        vocabulary: Vocabulary,
        size: tuple[int, int],
        lam: float | None = None,
    ) -> Answer:
        """Name the regions of all tiles; the scores of tiles that overlap are averaged."""
        if len(look) == 1:
            return self.model.answer(look[0].regions, vocabulary, size, lam)
        placed = []  # named tiles, top and left edge and (height, width) on the result
        for tile in look:
            top, bottom = (round(edge * size[0]) for edge in tile.rows)
            left, right = (round(edge * size[1]) for edge in tile.columns)
            if left < right:  # a result that is much smaller than the photo has no pixel of some
                scores = self.model.name(tile.regions, vocabulary, lam).scores
                view = View(scores, tile.regions.masks, tile.regions.box)
                placed.append((view, top, left, (bottom - top, right - left)))

        def rows(top: int, bottom: int) -> Tensor:
            """The rows [top, bottom): (K,bottom-top,W), means over the tiles there."""
            probs = placed[0][0].probs
            count = probs.new_zeros(bottom - top, size[1], 1)
            scores = probs.new_zeros(bottom - top, size[1], len(vocabulary))  # argmax is faster so
            for view, first, left, (height, width) in placed:
                start, end = max(top, first), min(bottom, first + height)
                if start < end:
                    strip = start - first, end - first
                    votes = vote_rows(view, (height, width), *strip, self.model.mask_softmax)
                    place = slice(start - top, end - top), slice(left, left + width)
                    scores[place] += torch.einsum("nrc,nk->rck", votes, view.probs)
                    count[place] += 1
            return (scores / count.clamp(min=1)).permute(2, 0, 1)

        depth = max(len(vocabulary), *(len(view.masks) for view, *_ in placed))
        return PixelAnswer(rows, size, depth)


def tile_edges(length: int, side: int) -> list[tuple[int, int]]:
    """First pixel and end of the tiles along a side, evenly spread, overlapping by OVERLAP or more.

    A side that is no longer than a tile has one tile of its own length.
    """
    side = min(side, length)
    count = 1 + math.ceil((length - side) / max(1, (1 - OVERLAP) * side))
    starts = [round(i * (length - side) / max(1, count - 1)) for i in range(count)]
    return [(start, start + side) for start in starts]
