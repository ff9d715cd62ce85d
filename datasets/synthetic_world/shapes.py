"""Outlines of the synthetic objects as functions of coordinates in the object's frame.

Each takes x and y, float arrays of one shape with the object inside [-1,1] and y upwards, and
returns a bool array, True inside.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Outline = Callable[[np.ndarray, np.ndarray], np.ndarray]

_STAR_POINTS = 5
_STAR_INNER_RADIUS = 0.42


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(x**2 + y**2 < 0.88**2)


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(abs(x), abs(y)) < 0.74


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (y > -0.6) & (np.sqrt(3) * abs(x) + y < 1.0)


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # the plane is folded onto half a point of the star, whose edge is the line from the tip (1,0)
    # to the inner corner
    half = np.pi / _STAR_POINTS
    angle = abs((np.arctan2(x, y) + half) % (2 * half) - half)
    radius = np.hypot(x, y)
    along, across = radius * np.cos(angle), radius * np.sin(angle)
    corner_x, corner_y = _STAR_INNER_RADIUS * np.cos(half), _STAR_INNER_RADIUS * np.sin(half)
    return np.asarray((along - 1) * corner_y - across * (corner_x - 1) < 0)


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    arm, length = 0.28, 0.9
    return ((abs(x) < arm) & (abs(y) < length)) | ((abs(y) < arm) & (abs(x) < length))


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    radius = np.hypot(x, y)
    return (radius < 0.92) & (radius > 0.5)


OUTLINES: dict[str, Outline] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
}
