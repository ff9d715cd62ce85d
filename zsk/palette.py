"""Colours of labels: by id, the same in all images, or by what an image shows.

Letter: K names.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from zsk.vocabulary import IGNORE_LABEL

# Found by a search with random restarts: two of them differ by at least 25 in CIEDE2000, by 16 for
# eyes without middle-wave cones, and by 20 as an overlay of opacity 0.6 on grey.
_FIRST_COLOURS = (
    (0, 116, 185),
    (255, 232, 0),
    (93, 70, 23),
    (0, 232, 255),
    (255, 185, 209),
    (116, 23, 93),
    (0, 0, 255),
    (23, 116, 93),
    (70, 255, 162),
    (209, 23, 23),
    (185, 116, 255),
    (232, 139, 46),
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


def fixed_colours(num_names: int) -> np.ndarray:
    """(K,3) uint8 RGB that depend on nothing but the id, as in label images; they repeat after 255.

    For pictures in which names keep their colours: frames of a video, panels of one photo.
    """
    return palette()[np.arange(num_names) % IGNORE_LABEL]


def colours_for(labels: np.ndarray, num_names: int) -> np.ndarray:
    """(K,3) uint8 RGB that differ the most for the names with the most pixels.

    Up to 12 names have their fixed colours, which differ enough. Of more names, those with pixels
    get the first colours: 12 names in one photo are as easy to tell apart, whatever their ids.

    Args:
        labels: integers of any shape, of one photo or of several that share a legend; those
            outside 0..K-1 do not count.
        num_names: K.
    """
    colours = fixed_colours(num_names)
    if num_names <= len(_FIRST_COLOURS):
        return colours
    known = labels[(labels >= 0) & (labels < num_names)]
    order = np.argsort(-np.bincount(known, minlength=num_names), kind="stable")
    ranked = np.empty_like(colours)
    ranked[order] = colours
    return ranked


@lru_cache(maxsize=1)
def palette() -> np.ndarray:
    """(256,3) uint8 RGB, read-only: colour of each label id, black for 255.

    After the first 12, each colour is the one farthest from all before it (distance in OKLab,
    Ottosson 2020) as people with and without deuteranopia see them.
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
