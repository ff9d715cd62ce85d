"""Maps of a padded photo at their true scale: where the photo lies on them, and their values on it.

A network sees a photo padded to whole strides, at the right and at the bottom, so that every cell
of a map stands for the same number of pixels. Maps are enlarged by that number and cut to the
photo, never stretched over it. All of Detectron2's systems do so.

Shape letters: N maps, h x w cells, H x W result.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Box(NamedTuple):
    """The edges of the photo on a map, in cells: cell i reaches from i to i + 1."""

    left: float
    top: float
    right: float
    bottom: float

    def mirrored(self, width: int) -> "Box":
        """The same on the map of `width` cells from right to left."""
        return self._replace(left=width - self.right, right=width - self.left)


def photo_box(photo: Sequence[int], stride: int, cells: Sequence[int]) -> Box | None:
    """Where a photo lies on the maps that a network gives.

    Args:
        photo: (height, width) in pixels, before it was padded to multiples of `stride`.
        cells: (h,w) of the maps.
    Returns:
        None where the maps cover the photo and nothing else.
    """
    height, width = photo
    if height % stride == width % stride == 0:
        return None
    bottom, right = (
        count * side / (-(-side // stride) * stride) for count, side in zip(cells, photo)
    )
    return Box(0.0, 0.0, right, bottom)


def resize_rows(
    maps: Tensor, box: Box | None, size: Sequence[int], top: int = 0, bottom: int | None = None
) -> Tensor:
    """Rows [top, bottom) of the photo's part of (N,h,w) maps at `size` (H,W), bilinearly.

    Args:
        maps: float.
        box: the photo's part; None for all of the maps.
        bottom: None for H.
    Returns:
        (N,bottom-top,W).
    """
    bottom = size[0] if bottom is None else bottom
    h, w = maps.shape[-2:]
    box = box or Box(0, 0, w, h)
    rows = torch.arange(top, bottom, device=maps.device) + 0.5
    columns = torch.arange(size[1], device=maps.device) + 0.5
    # -1 and 1 are the edges of the maps
    y = (rows * ((box.bottom - box.top) / size[0]) + box.top) * (2 / h) - 1
    x = (columns * ((box.right - box.left) / size[1]) + box.left) * (2 / w) - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None].to(maps.dtype)
    return F.grid_sample(maps[None], grid, padding_mode="border", align_corners=False)[0]
