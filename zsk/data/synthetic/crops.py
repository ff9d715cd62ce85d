"""Captioned pictures of the synthetic world, as the web gives them to a CLIP: crops of scenes.

All compositions occur, those without masks in training too, as CLIP has seen the unseen names.
Letter: P side of a picture in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from .classes import CLASSES, OBJECTS
from .scene import NO_CLASS, SIDE, Rendering

MIN_PIXELS = 80  # of a segment that is worth a picture
MIN_SHARE = 0.75  # of a window, that its stuff covers
MAX_MARGIN = 0.3  # around an object, in its longer sides
CUT_OUT_SHARE = 0.5  # of the pictures show their subject on plain ground, as product photos do
ROUGH_SHARE = 0.5  # of these are cut out roughly, as by hand or by a program
COARSE_SIDE = 24  # of the grid that a rough outline follows: a scene's at stride 4
MAX_BLUR, MAX_NOISE = 3.0, 0.3  # of a rough outline: pixels, and of 1 inside and 0 outside
MIN_OVERLAP = 0.5  # IoU of a rough outline with the true one
WINDOW_TRIALS = 12


class Picture(NamedTuple):
    """A picture and the class that its caption names."""

    image: np.ndarray  # (P,P,3) uint8 RGB
    label: int  # index into CLASSES


def pictures(rendering: Rendering, side: int, rng: np.random.Generator) -> Iterator[Picture]:
    """One picture for each class in a scene: of the object, or of a piece of the stuff.

    Args:
        side: P.
        rng: draws margins, grounds and mirroring; another draw shows the scene differently.
    """
    image, classes = rendering
    if rng.random() < 0.5:
        image, classes = image[:, ::-1], classes[:, ::-1]
    for label in np.unique(classes):
        inside = classes == label
        if label == NO_CLASS or inside.sum() < MIN_PIXELS:
            continue
        if rng.random() < CUT_OUT_SHARE:
            shown = rough_outline(inside, rng) if rng.random() < ROUGH_SHARE else inside
            ground = rng.integers(0, 256, 3)
            yield _picture(np.where(shown[..., None], image, ground), _box(shown, 0), side, label)
        elif label < len(OBJECTS):
            box = _box(inside, rng.uniform(0, MAX_MARGIN))
            yield _picture(image, box, side, label)
        else:
            window = _window(inside, rng)
            if window is not None:
                yield _picture(image, window, side, label)


def rough_outline(inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask (S,S) bool as a proposal might have it: coarse, with dents, bulges and holes.

    Without them the small CLIP is surer of itself where a proposal is poor, and wrong no more
    seldom: of the best proposals of one model it then names as many right (hIoU 49 against 50).
    """
    coarse = cv2.resize(
        inside.astype(np.float32), (COARSE_SIDE, COARSE_SIDE), interpolation=cv2.INTER_AREA
    )
    soft = cv2.resize(coarse, inside.shape[::-1], interpolation=cv2.INTER_LINEAR)
    soft = cv2.GaussianBlur(soft, (0, 0), rng.uniform(0.1, MAX_BLUR))
    noise = rng.normal(0, rng.uniform(0, MAX_NOISE), (8, 8)).astype(np.float32)
    rough = soft + cv2.resize(noise, inside.shape[::-1], interpolation=cv2.INTER_CUBIC) > 0.5
    overlap = (rough & inside).sum() / (rough | inside).sum()
    return rough if overlap >= MIN_OVERLAP else inside


def clean_picture(portrait: Rendering, side: int) -> Picture:
    """What a portrait shows, alone on grey in its tight box."""
    inside = portrait.classes != NO_CLASS
    alone = np.where(inside[..., None], portrait.image, 127)
    return _picture(alone, _box(inside, 0), side, portrait.classes[inside][0])


def class_name(label: int) -> str:
    """The name that captions give a picture's class."""
    return CLASSES[label].name


def _picture(image: np.ndarray, box: tuple[int, int, int, int], side: int, label: int) -> Picture:
    left, top, right, bottom = box
    crop = image[top:bottom, left:right].astype(np.uint8)
    return Picture(cv2.resize(crop, (side, side), interpolation=cv2.INTER_LINEAR), int(label))


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
    """A random square that a stuff fills for the most part; None when none was found."""
    for _ in range(WINDOW_TRIALS):
        size = int(rng.integers(24, 65))
        left, top = rng.integers(0, SIDE - size + 1, 2)
        if inside[top : top + size, left : left + size].mean() >= MIN_SHARE:
            return int(left), int(top), int(left) + size, int(top) + size
    return None
