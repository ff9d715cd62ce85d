"""The overlay of a label map on its photo. Letters: H×W label map, K names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from zsk.drawing.palette import colours_for
from zsk.drawing.region_names import resample, write_names
from zsk.errors import UserError
from zsk.vocabulary import ignore_label

OPACITY = 0.6  # of the class colour, the rest is the photo in grey
DIM_BELOW = 0.5
_LINE = (255, 255, 255)  # colour between regions


def draw_overlay(
    photo: Image.Image,
    labels: np.ndarray,
    names: Sequence[str],
    colours: np.ndarray | None = None,
    *,
    opacity: float = OPACITY,
    outline: bool = True,
    show_names: bool = True,
    confidence: np.ndarray | None = None,
    dim_below: float = DIM_BELOW,
) -> Image.Image:
    """The photo in grey under the classes' colours, with names on the regions.

    Args:
        photo: RGB, of any size; the result has the same.
        labels: (H,W) integers 0..K-1 for the whole photo; `ignore_label(K)` and negative ones stand
            for no class, where the photo stays grey.
        names: K names.
        colours: (K,3) uint8 RGB; None takes `colours_for` these labels. Give one table for all
            pictures in which a name must keep its colour, such as `fixed_colours(K)`.
        opacity: of the colours, 0 (the grey photo alone) to 1.
        outline: whether a white line is drawn between regions.
        show_names: whether names are written on the regions.
        confidence: (H,W) float, 0 to 1. Regions are hatched with the grey photo where it is below
            `dim_below`, or no number.
        dim_below: 0 to 1.

    Raises:
        UserError: an argument is outside its range, or of another shape.
    """
    for what, value in (("opacity", opacity), ("dim_below", dim_below)):
        if not 0 <= value <= 1:
            raise UserError(f"{what} is {value}: give a number from 0 to 1")
    if confidence is not None and confidence.shape != labels.shape:
        raise UserError(f"confidence is of shape {confidence.shape}, but labels of {labels.shape}")
    known = has_class(labels, len(names))
    outside = labels[known & (labels >= len(names))]
    if outside.size:
        raise UserError(f"labels hold {outside[0]}, which is no position in {len(names)} names")
    colours = colours_for(labels, len(names)) if colours is None else np.asarray(colours)
    if colours.shape != (len(names), 3) or colours.dtype != np.uint8:
        raise UserError(
            f"colours must be uint8 of shape ({len(names)}, 3), one row for each name, but are "
            f"{colours.dtype} of shape {colours.shape}"
        )
    ids = resample(np.where(known, labels.astype(np.int64), -1), photo.size)
    grey = photo.convert("L").convert("RGB")
    tinted = Image.blend(grey, Image.fromarray(colours[np.maximum(ids, 0)]), opacity)
    detail = (photo.width * photo.height) ** 0.5  # what lines and letters are measured by
    coloured = ids >= 0
    if confidence is not None:
        diagonals = np.add.outer(np.arange(photo.height), np.arange(photo.width))
        stripes = diagonals // max(2, round(detail / 150)) % 2 == 1
        coloured &= ~(stripes & (resample(is_unsure(confidence, dim_below), photo.size) > 0))
    panel = Image.composite(tinted, grey, Image.fromarray(coloured))
    if outline:
        panel.paste(_LINE, mask=_borders(ids, round(detail / 1000)))
    if show_names:
        write_names(panel, ids, names, max(12, round(detail / 36)))
    return panel


def _borders(ids: np.ndarray, width: int) -> Image.Image:
    """A mask of the lines between regions, at least one pixel wide."""
    border = np.zeros(ids.shape, dtype=bool)
    border[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    border[1:] |= ids[1:] != ids[:-1]
    mask = Image.fromarray(border).convert("L")
    return mask.filter(ImageFilter.MaxFilter(width // 2 * 2 + 1)) if width > 1 else mask


def has_class(labels: np.ndarray, num_names: int) -> np.ndarray:
    """(H,W) bool: where labels are neither negative nor the ignore label."""
    return (labels >= 0) & (labels != ignore_label(num_names))


def is_unsure(confidence: np.ndarray, dim_below: float) -> np.ndarray:
    """(H,W) bool, also true for NaN."""
    return ~(confidence >= dim_below)
