"""The colour of each label id: it never depends on what an image holds."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from zsk.vocabulary import IGNORE_LABEL

# Okabe and Ito (2008)
_FIRST_COLOURS = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (213, 94, 0),
    (240, 228, 66),
)
# linear RGB as it looks without the middle-wave cones (Viénot, Brettel and Mollon, 1999)
DEUTERANOPIA = np.array(
    [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]
)
_RGB_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LMS_TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@lru_cache(maxsize=1)
def palette() -> np.ndarray:
    """(256,3) uint8 RGB, read-only: colour of each label id, black for 255.

    After the first colours, each colour is the one farthest from all before it (distance in OKLab,
    Ottosson 2020) as people with and without deuteranopia see them: small vocabularies get the
    colours that are the easiest to tell apart.
    """
    levels = np.linspace(0, 255, 18).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    lab = oklab(grid)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    # saturated enough to stand out from a grey photo, but neither glaring, black nor white
    usable = (lab[:, 0] > 0.4) & (lab[:, 0] < 0.9) & (chroma > 0.07) & (chroma < 0.2)
    colours = np.vstack([np.array(_FIRST_COLOURS, dtype=np.uint8), grid[usable]])
    chosen = list(range(len(_FIRST_COLOURS)))
    views = [oklab(colours), oklab(colours, DEUTERANOPIA)]
    nearest = np.min([_distances(view, chosen).min(axis=1) for view in views], axis=0)
    while len(chosen) < IGNORE_LABEL:
        chosen.append(int(nearest.argmax()))
        for view in views:
            nearest = np.minimum(nearest, _distances(view, chosen[-1:])[:, 0])
    table = np.vstack([colours[chosen], np.zeros((1, 3), dtype=np.uint8)])
    table.setflags(write=False)  # all callers share it
    return table


def oklab(rgb: np.ndarray, eye: np.ndarray = np.eye(3)) -> np.ndarray:
    """(n,3) uint8 sRGB → (n,3) OKLab. `eye`: a 3×3 matrix on linear RGB, such as DEUTERANOPIA."""
    srgb = rgb / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(np.clip(linear @ eye.T, 0, 1) @ _RGB_TO_LMS.T) @ _LMS_TO_OKLAB.T


def _distances(view: np.ndarray, chosen: list[int]) -> np.ndarray:
    """(n,3) colours → (n,c): the distance of each to each of the c chosen ones."""
    return np.linalg.norm(view[:, None] - view[chosen], axis=2)
