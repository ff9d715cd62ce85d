"""Imperfect masks, as proposals have them, for training the CLIP of the synthetic world.

Letter: S side of a scene in pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

COARSE_SIDE = 24  # of the grid of a rough outline: a scene at stride 4
MAX_BLUR, MAX_NOISE = 3.0, 0.3  # of a rough outline: pixels, and mask values
MIN_OVERLAP = 0.5  # IoU of a rough outline with the true one
BLOBS = (3, 6)  # per side of the grid on which pieces are drawn
REACH = (2, 13)  # pixels by which a gained piece may extend beyond the outline
FOLLOW_SHARE = 0.6  # of the gained pieces lie in one neighbour and follow its outline
MIN_FLAWED_OVERLAP = 0.35  # IoU of a flawed outline with the true one


class CutOuts(NamedTuple):
    """How subjects are cut out.

    share: of the pictures that show their subject cut out on plain ground, in [0,1].
    rough: share of the cut-outs with a rough outline.
    flawed: share of the rough cut-outs that lack pieces or include pieces of neighbours.
    """

    share: float = 0.5
    rough: float = 0.5
    flawed: float = 0.0


AS_ON_THE_WEB = CutOuts()
AS_PROPOSED = CutOuts(share=0.75, rough=0.75, flawed=0.6)


def cut_out(
    inside: np.ndarray, classes: np.ndarray, how: CutOuts, rng: np.random.Generator
) -> np.ndarray:
    """The mask `inside` (S,S) bool, exact, rough or flawed as drawn from `how`: (S,S) bool.

    `classes` (S,S) are the labels of the scene.
    """
    if rng.random() >= how.rough:
        return inside
    outline = rough_outline(inside, rng)
    if how.flawed and rng.random() < how.flawed:
        return flawed_outline(outline, inside, classes, rng)
    return outline


def rough_outline(inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask (S,S) bool made coarse, with dents, bulges and holes.

    Masks whose IoU with `inside` would fall below MIN_OVERLAP stay exact.
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
    """A rough outline that lost pieces and gained pieces of the surroundings.

    Args:
        outline: (S,S) bool, rough mask; returned unchanged if the IoU of the result with `inside`
            would fall below MIN_FLAWED_OVERLAP.
        inside: (S,S) bool, the true mask.
        classes: (S,S) labels; gained pieces may follow their edges.
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
    """A smooth random field (S,S) with about `count` hills a side and unit deviation."""
    hills = rng.normal(0, 1, (count, count)).astype(np.float32)
    return cv2.resize(hills, shape[::-1], interpolation=cv2.INTER_CUBIC)


def _iou(mask: np.ndarray, other: np.ndarray) -> float:
    return float((mask & other).sum() / max((mask | other).sum(), 1))
