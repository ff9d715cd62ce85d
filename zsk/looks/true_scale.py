"""Maps at their true scale: where the photo lies on them, and their values on it.

Every cell of a map stands for as many pixels as its stride. Features of a photo whose sides are no
multiples of the coarsest stride are extended until all of them cover the same pixels. Maps are
enlarged by their stride and cut to the photo, never stretched over it. Published systems get that
by padding the photo, whose grey strip k-means would make regions of.

Letters: B photos, C channels, N maps, h x w cells, H x W photo or result.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from detectron2.modeling.backbone import Backbone
from torch import Tensor


def feature_strides(backbone: Backbone) -> dict[str, int]:
    """The pixels that a cell of each feature stands for, by name."""
    return {name: int(shape.stride or 1) for name, shape in backbone.output_shape().items()}


def whole_cells(
    features: Mapping[str, Tensor], strides: Mapping[str, int], size: Sequence[int]
) -> dict[str, Tensor]:
    """Features of photos (H,W), extended at the right and at the bottom by their last cells.

    Args:
        features: (B,C,h,w) by name.
        strides: see `feature_strides`.
    Returns:
        features that all cover H and W, rounded up to multiples of all strides.
    """
    coarsest, extended = math.lcm(*strides.values()), {}
    for name, feature in features.items():
        height, width = (math.ceil(side / coarsest) * coarsest // strides[name] for side in size)
        missing = (0, width - feature.shape[-1], 0, height - feature.shape[-2])
        extended[name] = F.pad(feature, missing, mode="replicate") if any(missing) else feature
    return extended


def grid_of_cells(size: Sequence[int], stride: int) -> tuple[int, int]:
    """Rows and columns of cells of `stride` pixels that cover a photo of `size` (H,W)."""
    return math.ceil(size[0] / stride), math.ceil(size[1] / stride)


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
        photo: (H,W).
        stride: a multiple of all strides, see `whole_cells`.
        cells: (h,w) of the maps.
    Returns:
        None where the maps cover the photo and nothing else.
    """
    height, width = photo
    if height % stride == width % stride == 0:
        return None
    bottom, right = (
        count * side / (math.ceil(side / stride) * stride) for count, side in zip(cells, photo)
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
