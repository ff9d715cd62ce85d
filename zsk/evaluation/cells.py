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


def difference_key(key: str, stride: int) -> str:
    """The name of a metric's difference between cells and pixels: "hIoU@8-hIoU"."""
    return f"{cell_key(key, stride)}-{key}"


def section_of_cells(
    pixels: Mapping[str, float], cells: Mapping[str, float], stride: int
) -> dict[str, Any]:
    """The part of a report that is about cells.

    Args:
        pixels, cells: the metrics of both under their plain names.

    Returns:
        "stride", "metrics" of the cells by `cell_key`, and "differences", cells less pixels, by
        `difference_key`.
    """
    both = [key for key in cells if key in pixels]
    return {
        "stride": stride,
        "metrics": {cell_key(key, stride): value for key, value in cells.items()},
        "differences": {difference_key(key, stride): cells[key] - pixels[key] for key in both},
    }


def headline_rows(report: Mapping[str, Any], keys: Sequence[str]) -> dict[str, dict[str, float]]:
    """Name of a row → its numbers by plain key: "pixels" and, of a report with cells, two more."""
    rows = {"pixels": dict(report["metrics"])}
    if "cells" in report:
        cells, stride = report["cells"], report["cells"]["stride"]
        names = {key: cell_key(key, stride) for key in keys}
        rows[f"cells of {stride}"] = _renamed(cells["metrics"], names)
        names = {key: difference_key(key, stride) for key in keys}
        rows["difference"] = _renamed(cells["differences"], names)
    return rows


def _renamed(numbers: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    """New names → numbers, of those that are there; `names`: new → old."""
    return {new: numbers[old] for new, old in names.items() if old in numbers}
