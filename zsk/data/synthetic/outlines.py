"""Outlines as proposals have them: what a CLIP that names proposals should have seen.

Letter: S side of a scene in pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

COARSE_SIDE = 24  # of the grid that a rough outline follows: a scene's at stride 4
MAX_BLUR, MAX_NOISE = 3.0, 0.3  # of a rough outline: pixels, and of 1 inside and 0 outside
MIN_OVERLAP = 0.5  # IoU of a rough outline with the true one
BLOBS = (3, 6)  # per side of the grid on which pieces are drawn
REACH = (2, 13)  # pixels that a gained piece may extend beyond the outline
FOLLOW_SHARE = 0.6  # of the gained pieces keep to one neighbour, whose outline they then have
MIN_FLAWED_OVERLAP = 0.35  # IoU of a flawed outline with the true one


class CutOuts(NamedTuple):
    """How subjects are cut out.

    share: of the pictures, in [0,1], that show their subject on plain ground, as product photos do.
    rough: of these, how many are cut out roughly, as by hand or by a program.
    flawed: of the rough ones, how many lack pieces or have some of what is beside them.
    """

    share: float = 0.5
    rough: float = 0.5
    flawed: float = 0.0


AS_ON_THE_WEB = CutOuts()
AS_PROPOSED = CutOuts(share=0.75, rough=0.75, flawed=0.6)


def cut_out(
    inside: np.ndarray, classes: np.ndarray, how: CutOuts, rng: np.random.Generator
) -> np.ndarray:
    """A class's mask (S,S) bool in `classes` (S,S), exact or as `how` says -> (S,S) bool."""
    if rng.random() >= how.rough:
        return inside
    outline = rough_outline(inside, rng)
    if how.flawed and rng.random() < how.flawed:
        return flawed_outline(outline, inside, classes, rng)
    return outline


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
    return rough if _iou(rough, inside) >= MIN_OVERLAP else inside


def flawed_outline(
    outline: np.ndarray, inside: np.ndarray, classes: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A rough outline with pieces lost, and gained from what is around: where proposals go wrong.

    Args:
        outline: (S,S) bool, `inside` roughly; returned as it is if too little of it would be left.
        inside: (S,S) bool, the true mask.
        classes: (S,S), whose edges gained pieces may follow.
    """
    blobs = int(rng.integers(BLOBS[0], BLOBS[1] + 1))
    lost = _blobs(rng, blobs, inside.shape) > rng.uniform(0.3, 2.0)
    steps = int(rng.integers(REACH[0], REACH[1] + 1))
    near = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=steps) > 0
    around = near & ~inside
    gained = around & (_blobs(rng, blobs, inside.shape) > rng.uniform(0.0, 2.0))
    neighbours = np.unique(classes[around])
    if len(neighbours) and rng.random() < FOLLOW_SHARE:
        gained &= classes == rng.choice(neighbours)
    flawed = (outline & ~lost) | gained
    return flawed if _iou(flawed, inside) >= MIN_FLAWED_OVERLAP else outline


def _blobs(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """A smooth random field (S,S), about `count` hills a side, of about unit deviation."""
    hills = rng.normal(0, 1, (count, count)).astype(np.float32)
    return cv2.resize(hills, shape[::-1], interpolation=cv2.INTER_CUBIC)


def _iou(mask: np.ndarray, other: np.ndarray) -> float:
    return float((mask & other).sum() / max((mask | other).sum(), 1))
