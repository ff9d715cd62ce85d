"""The names on the regions of a label map. Letters: H×W label map, K names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from zsk.drawing.fonts import font_for, one_line

_NAMED_SHARE = 0.004  # smaller regions (share of the image) are named in the legend only
_SEARCH_SIDE = 256  # places for names are searched on a map of this size, which takes less time
_LETTERS, _HALO = (255, 255, 255), (20, 20, 20)


def resample(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H,W) integers at (width, height) `size`, by nearest neighbour: int32."""
    image = Image.fromarray(values.astype(np.int32))
    return np.asarray(image.resize(size, Image.Resampling.NEAREST))


def write_names(
    panel: Image.Image, labels: np.ndarray, names: Sequence[str], font_size: int
) -> None:
    """Write each name at its place, or a line above or below; large classes come first.

    Args:
        panel: RGB, W×H; it is drawn on.
        labels: (H,W) integers below K; a negative one stands for no class.
        names: K names.
        font_size: pixels. A name that does not fit into the panel is left out.
    """
    draw = ImageDraw.Draw(panel)
    halo = max(2, font_size // 8)
    taken: list[tuple[float, float, float, float]] = []
    for label, (x, y) in places(labels):
        name = one_line(names[label])
        font = font_for(name, font_size)
        left, top, right, bottom = draw.textbbox((0, 0), name, font=font, stroke_width=halo)
        width, height = right - left, bottom - top
        if width > panel.width or height > panel.height:
            continue
        for shift in (0, 1, -1, 2, -2):
            box_left = min(max(0, x - width / 2), panel.width - width)
            box_top = min(max(0, y - height / 2 + shift * height), panel.height - height)
            box = (box_left, box_top, box_left + width, box_top + height)
            if not any(_overlap(box, other) for other in taken):
                taken.append(box)
                draw.text(
                    (box_left - left, box_top - top), name, _LETTERS, font,
                    stroke_width=halo, stroke_fill=_HALO,
                )  # fmt: skip
                break


def places(labels: np.ndarray) -> list[tuple[int, tuple[float, float]]]:
    """Where names belong: the innermost pixel of the largest region of each id.

    Args:
        labels: (H,W) integers; negative ones are left out.

    Returns:
        (id, (x, y)) in pixels, large ids first; ids without a region of some size are left out.
    """
    height, width = labels.shape
    shrink = min(1.0, _SEARCH_SIDE / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    small = resample(labels, size)
    ids, counts = np.unique(small[small >= 0], return_counts=True)
    found = []
    for label in ids[np.argsort(-counts, kind="stable")]:
        regions, _ = ndimage.label(small == label)
        areas = np.bincount(regions.ravel())[1:]
        if areas.max() < _NAMED_SHARE * small.size:
            continue
        # padded, so that the picture's edge is a border like any other
        region = np.pad(regions == areas.argmax() + 1, 1)
        depth = ndimage.distance_transform_edt(region)
        # a band has a whole ridge of innermost pixels: the one nearest to the region's middle
        ridge = np.argwhere(depth >= 0.95 * depth.max())
        middle = np.argwhere(region).mean(axis=0)
        row, column = ridge[np.linalg.norm(ridge - middle, axis=1).argmin()]
        place = ((column - 0.5) * width / size[0], (row - 0.5) * height / size[1])
        found.append((int(label), place))
    return found


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
