"""Captioned crops of scenes: the training pictures of the synthetic world's CLIP.

All compositions occur, unseen ones too, as OpenAI's CLIP has seen the unseen names of benchmarks.
Letter: P side of a picture in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from .classes import OBJECTS
from .outlines import CutOuts, cut_out
from .scene import NO_CLASS, SIDE, Rendering

MIN_PIXELS = 80  # of a segment; smaller ones give no picture
MIN_SHARE = 0.75  # of a window that its stuff covers
MAX_MARGIN = 0.3  # around an object, as a share of its longer side
WINDOW_TRIALS = 12


class Picture(NamedTuple):
    """A picture and the class that its caption names."""

    image: np.ndarray  # (P,P,3) uint8 RGB
    label: int  # index into `classes.CLASSES`


def pictures(
    rendering: Rendering, side: int, rng: np.random.Generator, cut_outs: CutOuts
) -> Iterator[Picture]:
    """At most one picture of each class in a scene.

    Args:
        side: P.
        rng: draws margins, backgrounds and mirroring.
        cut_outs: how many subjects are cut out, and how well.
    """
    image, classes = rendering
    if rng.random() < 0.5:
        image, classes = image[:, ::-1], classes[:, ::-1]
    for label in np.unique(classes):
        inside = classes == label
        if label == NO_CLASS or inside.sum() < MIN_PIXELS:
            continue
        if rng.random() < cut_outs.share:
            shown = cut_out(inside, classes, cut_outs, rng)
            ground = rng.integers(0, 256, 3)
            yield _picture(np.where(shown[..., None], image, ground), _box(shown, 0), side, label)
        elif label < len(OBJECTS):
            box = _box(inside, rng.uniform(0, MAX_MARGIN))
            yield _picture(image, box, side, label)
        else:
            window = _window(inside, rng)
            if window is not None:
                yield _picture(image, window, side, label)


def clean_picture(portrait: Rendering, side: int) -> Picture:
    """The subject of a portrait, on grey, in its tight box."""
    inside = portrait.classes != NO_CLASS
    alone = np.where(inside[..., None], portrait.image, 127)
    return _picture(alone, _box(inside, 0), side, portrait.classes[inside][0])


def _picture(image: np.ndarray, box: tuple[int, int, int, int], side: int, label: int) -> Picture:
    left, top, right, bottom = box
    crop = image[top:bottom, left:right].astype(np.uint8)
    # as OpenAI's CLIP was trained, and as crops of proposals are resized
    small = Image.fromarray(crop).resize((side, side), Image.Resampling.BICUBIC)
    return Picture(np.asarray(small), int(label))


def _box(inside: np.ndarray, margin: float) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (exclusive) around a mask, widened by a share of its longer side."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    extra = round(margin * max(bottom - top, right - left))
    return (
        max(left - extra, 0),
        max(top - extra, 0),
        min(right + extra, SIDE),
        min(bottom + extra, SIDE),
    )


def _window(inside: np.ndarray, rng: np.random.Generator) -> tuple[int, int, int, int] | None:
    """A random square with at least MIN_SHARE of the mask; None when none was found."""
    for _ in range(WINDOW_TRIALS):
        size = int(rng.integers(24, 65))
        left, top = rng.integers(0, SIDE - size + 1, 2)
        if inside[top : top + size, left : left + size].mean() >= MIN_SHARE:
            return int(left), int(top), int(left) + size, int(top) + size
    return None
