"""Scores at the resolution of features (TEST.CELL_STRIDE), as CaGNet and SIGN are scored.

A label map with a cell for every few pixels of the photo as the network sees it, against the ground
truth in the middle of each cell. Letters: H×W ground truth, h×w cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def labels_of_cells(labels: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Labels (H,W) -> (h,w), `grid`: the label in the middle of each cell.

    Cells are equal shares of the map. Of the pixels beside a middle, the lower right one counts.
    """
    rows, columns = (
        (2 * np.arange(cells) + 1) * side // (2 * cells) for side, cells in zip(labels.shape, grid)
    )
    return labels[np.ix_(rows, columns)]


def cell_key(key: str, stride: int) -> str:
    """The name of a metric at cells: "hIoU@8"."""
    return f"{key}@{stride}"


def section_of_cells(
    pixels: Mapping[str, float], cells: Mapping[str, float], stride: int
) -> dict[str, Any]:
    """The part of a report that is about cells, from the metrics of both under their plain names.

    "stride", "metrics" of the cells by `cell_key`, and "differences", cells less pixels, by names
    such as "hIoU@8-hIoU".
    """
    both = [key for key in cells if key in pixels]
    return {
        "stride": stride,
        "metrics": {cell_key(key, stride): value for key, value in cells.items()},
        "differences": {f"{cell_key(k, stride)}-{k}": cells[k] - pixels[k] for k in both},
    }


def rows_of_cells(section: Mapping[str, Any], keys: Sequence[str]) -> dict[str, list[str]]:
    """Of a `section_of_cells`, the name of a row → its numbers as text, by plain keys."""
    stride = section["stride"]
    names = [cell_key(key, stride) for key in keys]
    own = [section["metrics"].get(name) for name in names]
    differences = [section["differences"].get(f"{n}-{key}") for n, key in zip(names, keys)]
    return {
        f"cells of {stride}": ["-" if value is None else f"{value:.2f}" for value in own],
        "difference": ["-" if value is None else f"{value:+.2f}" for value in differences],
    }
