"""One scene of the synthetic world: a few overlapping objects on textured ground.

Letter: S side of the square image in pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .classes import CLASSES, MATERIALS, OBJECTS, STUFF, Composition
from .shapes import OUTLINES
from .textures import material, stuff

PARTS = {"train": (1, 3000), "val": (2, 80)}
"""Seed and number of scenes of the data sets."""

SIDE = 96
OBJECT_COUNTS = (2, 5)
RADII = (11.0, 27.0)  # of an object, in pixels
SUPERSAMPLING = 2  # per axis, for the edges of objects
NEIGHBOUR_SHARE = 0.5  # of the objects share a part with the one before: easily confused
MAX_STAINS = 6
MAX_TURN = 0.4  # radians, either way
NO_CLASS = 255  # around the object of a portrait


class Rendering(NamedTuple):
    """A scene as pixels."""

    image: np.ndarray  # (S,S,3) uint8 RGB
    classes: np.ndarray  # (S,S) uint8, index into CLASSES; every pixel of a scene has one


def render_scene(seed: int, number: int) -> Rendering:
    """The scene `number` ≥ 0 of a collection (see PARTS); equal arguments give equal pixels."""
    rng = np.random.default_rng((seed, number))
    image, classes = _draw_ground(rng)
    _draw_stains(image, rng)
    for composition in _choose_objects(rng):
        _draw_object(image, classes, composition, rng)
    return Rendering(_develop(image, rng), classes)


def render_portrait(seed: int, number: int) -> Rendering:
    """Class `number` modulo the number of classes: a whole object on grey, or a stuff everywhere.

    `classes` is NO_CLASS around the object. The random numbers are not those of the scene.
    """
    rng = np.random.default_rng((seed, number, 1))
    label = number % len(CLASSES)
    composition = CLASSES[label]
    image = np.full((SIDE, SIDE, 3), 127.0)
    classes = np.full((SIDE, SIDE), NO_CLASS, dtype=np.uint8)
    if composition in OBJECTS:
        _draw_object(image, classes, composition, rng, middle=True)
    else:
        image, classes[:] = stuff(*composition, *_grid(), rng), label
    return Rendering(_develop(image, rng), classes)


def _grid() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    return x, y


def _box(centre: np.ndarray, reach: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom (exclusive) of a square around a centre, cut to the image."""
    left, top = (max(int(c) - reach, 0) for c in centre)
    right, bottom = (min(int(c) + reach + 1, SIDE) for c in centre)
    return left, top, right, bottom


def _draw_ground(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one to three kinds of stuff with wavy borders between them."""
    x, y = _grid()
    image, classes = np.zeros((SIDE, SIDE, 3)), np.zeros((SIDE, SIDE), dtype=np.uint8)
    count = int(rng.integers(1, 4))
    for i, choice in enumerate(rng.permutation(len(STUFF))[:count]):
        composition = STUFF[choice]
        inside = np.ones((SIDE, SIDE), dtype=bool)
        if i:
            angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.25, 0.25) * SIDE
            along = np.cos(angle) * (x - SIDE / 2) + np.sin(angle) * (y - SIDE / 2)
            across = np.cos(angle) * (y - SIDE / 2) - np.sin(angle) * (x - SIDE / 2)
            inside = along > offset + rng.uniform(0, 6) * np.sin(across / rng.uniform(5, 12))
        texture = stuff(composition.kind, composition.look, x, y, rng)
        image[inside] = texture[inside]
        classes[inside] = CLASSES.index(composition)
    return image, classes


def _draw_stains(image: np.ndarray, rng: np.random.Generator) -> None:
    """Draw small blots in the materials of objects; their label stays that of the ground."""
    for _ in range(int(rng.integers(0, MAX_STAINS + 1))):
        centre, radius = rng.uniform(0, SIDE, 2), rng.uniform(1.5, 4.5)
        left, top, right, bottom = _box(centre, int(np.ceil(radius * 1.4)))
        y, x = np.mgrid[top:bottom, left:right].astype(np.float64)
        angle = np.arctan2(y - centre[1], x - centre[0])
        edge = radius * (1 + 0.35 * np.sin(3 * angle + rng.uniform(0, 6)))
        inside = np.hypot(x - centre[0], y - centre[1]) < edge
        paint = material(MATERIALS[rng.integers(len(MATERIALS))], x / 6, y / 6, rng)
        image[top:bottom, left:right][inside] = paint[inside]


def _choose_objects(rng: np.random.Generator) -> list[Composition]:
    """Choose objects, back to front; neighbours in the list often share a part."""
    chosen = [OBJECTS[rng.integers(len(OBJECTS))]]
    for _ in range(int(rng.integers(OBJECT_COUNTS[0], OBJECT_COUNTS[1] + 1)) - 1):
        pool = list(OBJECTS)
        if rng.random() < NEIGHBOUR_SHARE:
            last = chosen[-1]
            pool = [c for c in OBJECTS if (c.kind == last.kind) != (c.look == last.look)]
        chosen.append(pool[rng.integers(len(pool))])
    return chosen


def _draw_object(
    image: np.ndarray,
    classes: np.ndarray,
    composition: Composition,
    rng: np.random.Generator,
    middle: bool = False,
) -> None:
    """Draw one object of random place, size, turn and stretch, with soft edges.

    Args:
        middle: keep the whole object inside the picture.
    """
    border = 0.4 if middle else 0.08
    centre = rng.uniform(border * SIDE, (1 - border) * SIDE, 2)
    # uniform in the logarithm: as many small objects as large ones
    radius = np.exp(rng.uniform(*np.log(RADII)))
    turn, stretch = rng.uniform(-MAX_TURN, MAX_TURN), rng.uniform(0.8, 1.25)
    left, top, right, bottom = _box(centre, int(np.ceil(radius * 1.35)))
    step = 1 / SUPERSAMPLING
    y, x = np.mgrid[top:bottom:step, left:right:step] + (step - 1) / 2
    x, y = (x - centre[0]) / radius, (centre[1] - y) / radius
    u = (np.cos(turn) * x + np.sin(turn) * y) * stretch
    v = (np.cos(turn) * y - np.sin(turn) * x) / stretch
    inside = OUTLINES[composition.kind](u, v)[..., None]
    shading = 1 + 0.18 * (y - x).clip(-1, 1)[..., None] * rng.uniform(0, 1)
    paint = material(composition.look, u, v, rng) * shading
    height, width = bottom - top, right - left
    alpha, colour = (
        a.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING, -1).mean(axis=(1, 3))
        for a in (inside.astype(np.float64), paint * inside)
    )
    patch = image[top:bottom, left:right]
    patch[:] = patch * (1 - alpha) + colour
    classes[top:bottom, left:right][alpha[..., 0] >= 0.5] = CLASSES.index(composition)


def _develop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add light with a gradient, a colour cast and noise; returns uint8."""
    x, y = _grid()
    angle = rng.uniform(0, 2 * np.pi)
    along = (np.cos(angle) * (x / SIDE - 0.5) + np.sin(angle) * (y / SIDE - 0.5))[..., None]
    brightness = rng.uniform(0.7, 1.1) + rng.uniform(0, 0.6) * along
    lit = image * brightness * rng.uniform(0.92, 1.08, 3)
    noisy = lit + rng.normal(0, rng.uniform(4, 14), image.shape)
    return np.asarray(noisy.clip(0, 255).astype(np.uint8))
