"""Pictures of a segmentation, drawn without a display: overlay, legend, palette PNG.

Letters: H×W label map, K names. Labels are 0..K-1; `ignore_label(K)` and negative ones stand for no
class: there the photo stays grey, and the legend calls it "background".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from zsk.drawing.legend import Entry, draw_legend
from zsk.drawing.overlay import DIM_BELOW, OPACITY, draw_overlay, has_class, is_unsure
from zsk.drawing.palette import colours_for, palette
from zsk.vocabulary import IGNORE_LABEL, label_dtype

__all__ = ["draw_overlay", "draw_segmentation", "label_image", "pixel_shares"]

_MIN_PANEL, _MAX_PANEL = 480, 1200  # pixels of the longer side: small photos are enlarged
_MIN_WIDTH = 480  # of the whole picture, so that a legend has room under a narrow photo
_STACKED_FROM = 2.5  # width by height: panels of such photos stand one above the other
_LISTED = 10  # up to so many names, the legend also lists those without a pixel
_BACKGROUND, _GREY = (255, 255, 255), (128, 128, 128)


def pixel_shares(labels: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Name → fraction of all pixels (0 to 1), largest first, equal ones in the order of the names.

    Pixels of no class belong to no name: the sum is less than 1 by their share.
    """
    counts = np.bincount(labels[has_class(labels, len(names))], minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    return {names[k]: float(counts[k] / labels.size) for k in order}


def label_image(labels: np.ndarray, num_names: int) -> Image.Image:
    """An image of label ids: a palette image with `palette()`, or 16-bit grey over 255 names.

    Args:
        labels: (H,W) integers in 0..K-1, or `ignore_label(K)`.
        num_names: K.
    """
    image = Image.fromarray(labels.astype(label_dtype(num_names)))
    if num_names <= IGNORE_LABEL:
        image.putpalette(palette().tobytes())
    return image


def draw_segmentation(
    image: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    colours: np.ndarray | None = None,
    *,
    opacity: float = OPACITY,
    confidence: np.ndarray | None = None,
    dim_below: float = DIM_BELOW,
) -> Image.Image:
    """The photo and its overlay side by side, or one above the other, with a legend below.

    Args:
        image: (H,W,3) uint8 RGB.
        labels: (H,W) integers.
        names: K names.
        colours, opacity, confidence, dim_below: as for `draw_overlay`.

    Returns:
        an RGB picture; each of its two panels has a longer side of 480 to 1200 pixels, or up to
        2400 for a wide photo.

    Raises:
        UserError: as for `draw_overlay`.
    """
    height, width = labels.shape
    stacked = width > _STACKED_FROM * height
    largest = _MAX_PANEL * (2 if stacked else 1)
    scale = min(max(1.0, _MIN_PANEL / max(height, width)), largest / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    photo = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
    if colours is None:
        colours = colours_for(labels, len(names))
    panel = draw_overlay(
        photo, labels, names, colours, opacity=opacity, confidence=confidence, dim_below=dim_below
    )
    gap = max(6, max(size) // 100)
    total = max(_MIN_WIDTH, size[0] + 2 * gap if stacked else 2 * size[0] + 3 * gap)
    entries = _entries(labels, names, colours)
    if confidence is not None:
        unsure = is_unsure(confidence, dim_below) & has_class(labels, len(names))
        what = f"hatched: confidence below {100 * dim_below:.0f} %"
        entries.append(Entry(what, float(unsure.mean()), _GREY, hatched=True))
    legend = draw_legend(entries, total - 2 * gap, min(26, max(14, total // 70)))

    second = (gap, size[1] + 2 * gap) if stacked else (2 * gap + size[0], gap)
    below = second[1] + size[1] + gap
    picture = Image.new("RGB", (total, below + legend.height + gap), _BACKGROUND)
    picture.paste(photo, (gap, gap))
    picture.paste(panel, second)
    picture.paste(legend, (gap, below))
    return picture


def _entries(labels: np.ndarray, names: Sequence[str], colours: np.ndarray) -> list[Entry]:
    """The legend's: names with pixels, large ones first, no class, and a few names without."""
    colour_of = {name: tuple(row) for name, row in zip(names, colours.tolist())}
    shares = pixel_shares(labels, names)
    entries = [Entry(name, share, colour_of[name]) for name, share in shares.items()]
    present = [entry for entry in entries if entry.share]
    absent = entries[len(present) :] if len(names) <= _LISTED else []
    background = 1 - float(has_class(labels, len(names)).mean())
    if background > 0:
        present.append(Entry("background", background, _GREY))
    return present + absent
