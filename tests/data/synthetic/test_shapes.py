"""Outlines at points worked out by hand, and their symmetries."""

import numpy as np
import pytest

from zsk.data.synthetic.classes import SHAPES
from zsk.data.synthetic.shapes import OUTLINES

COS36, SIN36 = 0.809017, 0.587785  # from a tip of the star to the corner beside it
COS18, SIN18 = 0.951057, 0.309017

# points just inside and just outside of an edge or a corner
POINTS = {
    "circle": ([(0, 0), (0.87, 0), (0.62, -0.62)], [(0.89, 0), (0.63, 0.63)]),
    "square": ([(0, 0), (0.73, 0.73), (-0.73, 0.1)], [(0.75, 0), (0, -0.75)]),
    # the sides run from (0, 1) to (±1.6/√3, -0.6): half way at (0.462, 0.2)
    "triangle": (
        [(0, 0), (0, 0.98), (0.9, -0.59), (0.45, 0.2)],
        [(0, 1.01), (0, -0.61), (0.47, 0.2), (0.93, -0.59)],
    ),
    # a tip is up, the next one 72° further; between them, at 36°, the edge is at 0.42
    "star": (
        [(0, 0), (0, 0.99), (0.99 * COS18, 0.99 * SIN18), (0.41 * SIN36, 0.41 * COS36)],
        [(0, 1.01), (0.43 * SIN36, 0.43 * COS36), (0, -0.43), (0.9, 0)],
    ),
    "cross": ([(0, 0), (0.89, 0.27), (-0.27, 0.89)], [(0.3, 0.3), (0.91, 0), (0, -0.91)]),
    "ring": ([(0.51, 0), (0, 0.91), (-0.5, 0.5)], [(0, 0), (0.49, 0), (0.3, 0.3), (0.93, 0)]),
}
MIRRORED_UP_AND_DOWN = ("circle", "square", "cross", "ring")


def mask(shape: str) -> np.ndarray:
    """On a grid of [-1.2, 1.2] whose rows go upwards."""
    y, x = np.mgrid[-60:61, -60:61] * 0.02
    return OUTLINES[shape](x, y)


def test_every_shape_has_an_outline_and_is_tried() -> None:
    assert set(OUTLINES) == set(SHAPES) == set(POINTS)


@pytest.mark.parametrize("shape", SHAPES)
def test_points(shape: str) -> None:
    for points, inside in zip(POINTS[shape], (True, False)):
        x, y = np.array(points, dtype=float).T
        found = OUTLINES[shape](x, y)
        assert found.dtype == bool and found.shape == x.shape
        assert found.tolist() == [inside] * len(points)


@pytest.mark.parametrize("shape", SHAPES)
def test_symmetry(shape: str) -> None:
    drawn = mask(shape)
    assert np.array_equal(drawn, drawn[:, ::-1])
    assert np.array_equal(drawn, drawn[::-1]) == (shape in MIRRORED_UP_AND_DOWN)


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_cut_off_by_the_frame(shape: str) -> None:
    """The object lies within a distance of 1.15, for which the scene leaves room."""
    y, x = np.mgrid[-60:61, -60:61] * 0.02
    assert mask(shape).any() and np.hypot(x, y)[mask(shape)].max() < 1.15


def test_no_two_shapes_look_alike() -> None:
    masks = [mask(shape) for shape in SHAPES]
    for i, one in enumerate(masks):
        for other in masks[:i]:
            assert (one & other).sum() / (one | other).sum() < 0.85
