"""Colours of the synthetic world: materials of objects and patterns of stuff.

Every function takes x and y, float arrays of one shape, and a random generator, and returns RGB of
shape (…,3): floats ≥ 0 with white at 255. Bright stuff may exceed 255; the scene clips.
"""

from __future__ import annotations

import numpy as np

_COLOURS = {
    "red": (205, 45, 40),
    "green": (45, 160, 60),
    "blue": (45, 75, 200),
    "yellow": (225, 200, 50),
}
_TONES = {
    "grey": (135, 135, 140),
    "brown": (140, 95, 60),
    "teal": (60, 150, 150),
    "pink": (215, 145, 165),
}
_DARK, _LIGHT = (45, 40, 45), (225, 222, 215)


def material(name: str, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The surface of an object; x and y in the object's frame, [-1,1]."""
    if name in _COLOURS:
        flat = _vary(_COLOURS[name], rng, 22)
        return np.broadcast_to(flat, (*x.shape, 3)).copy()
    dark, light = _vary(_DARK, rng, 20), _vary(_LIGHT, rng, 20)
    frequency, phase = rng.uniform(2.2, 3.2), rng.uniform(0, 1, 2)
    if name == "striped":
        ink = (x * frequency + phase[0]) % 1 < 0.5
    elif name == "spotted":
        u, v = (x * frequency + phase[0]) % 1 - 0.5, (y * frequency + phase[1]) % 1 - 0.5
        ink = u**2 + v**2 < 0.32**2
    else:
        raise ValueError(f"there is no material {name!r}")
    return np.where(ink[..., None], dark, light)


def stuff(
    pattern: str, tone: str, x: np.ndarray, y: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The surface of a stuff; x and y in pixels of the image."""
    base = _vary(_TONES[tone], rng, 14)
    scale, angle = rng.uniform(0.8, 1.3), rng.uniform(-0.35, 0.35)
    phase = rng.uniform(0, 100, 2)
    u = (np.cos(angle) * x + np.sin(angle) * y) / scale + phase[0]
    v = (np.cos(angle) * y - np.sin(angle) * x) / scale + phase[1]
    brightness = _BRIGHTNESS[pattern](u, v)
    return base * brightness[..., None]


def _bricks(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    row = np.floor(v / 7)
    across = (u + 7 * (row % 2)) % 14
    joint = (v % 7 < 1.4) | (across < 1.4)
    shade = 0.95 + 0.1 * _hash(row, np.floor((u + 7 * (row % 2)) / 14))
    return np.where(joint, 0.55, shade)


def _planks(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    board = np.floor(u / 9)
    joint = u % 9 < 1.2
    shade = 0.85 + 0.25 * _hash(board, np.zeros_like(board)) + 0.04 * np.sin(v / 2 + board * 3)
    return np.where(joint, 0.5, shade)


def _waves(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return 0.9 + 0.3 * np.sin(v * 0.9 + 1.8 * np.sin(u * 0.35))


def _pebbles(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    row = np.floor(v / 6)
    across = u + 3 * (row % 2)
    du, dv = across % 6 - 3, v % 6 - 3
    stone = du**2 + dv**2 < 2.5**2
    return np.where(stone, 1.0 + 0.2 * _hash(row, np.floor(across / 6)), 0.6)


_BRIGHTNESS = {"bricks": _bricks, "planks": _planks, "waves": _waves, "pebbles": _pebbles}


def _hash(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A fixed pseudo-random number in [0,1) for every pair of whole numbers."""
    return (np.sin(a * 12.9898 + b * 78.233) * 43758.5453) % 1.0


def _vary(colour: tuple[int, int, int], rng: np.random.Generator, spread: float) -> np.ndarray:
    return np.asarray(colour) + rng.uniform(-spread, spread, 3)
