"""Outlines of a rectangle between two neighbours, drawn by hand."""

import numpy as np
import pytest

from zsk.data.synthetic.outlines import (
    AS_ON_THE_WEB,
    AS_PROPOSED,
    MIN_FLAWED_OVERLAP,
    MIN_OVERLAP,
    CutOuts,
    cut_out,
    flawed_outline,
    rough_outline,
)

SIDE = 96
ME, LEFT, RIGHT = 2, 0, 1


@pytest.fixture
def classes() -> np.ndarray:
    """A square between a left and a right half."""
    drawn = np.full((SIDE, SIDE), LEFT, dtype=np.uint8)
    drawn[:, SIDE // 2 :] = RIGHT
    drawn[20:60, 30:70] = ME
    return drawn


def iou(mask: np.ndarray, other: np.ndarray) -> float:
    return (mask & other).sum() / (mask | other).sum()


def test_a_rough_outline_covers_the_most_and_another_draw_is_another(classes: np.ndarray) -> None:
    inside, rng = classes == ME, np.random.default_rng(0)
    roughs = [rough_outline(inside, rng) for _ in range(20)]
    overlaps = [iou(rough, inside) for rough in roughs]
    assert all(MIN_OVERLAP <= overlap <= 1 for overlap in overlaps) and min(overlaps) < 0.97
    assert not np.array_equal(roughs[0], roughs[1])


def test_what_a_rough_outline_would_lose_is_cut_out_exactly() -> None:
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    inside[50] = True  # a line is not half of anything on the coarse grid
    rough = rough_outline(inside, np.random.default_rng(0))
    assert np.array_equal(rough, inside)


def test_a_flawed_outline_loses_pieces_and_gains_some_of_neighbours(classes: np.ndarray) -> None:
    inside, rng = classes == ME, np.random.default_rng(0)
    flawed = [flawed_outline(inside, inside, classes, rng) for _ in range(60)]
    assert all(MIN_FLAWED_OVERLAP <= iou(mask, inside) for mask in flawed)
    assert min(iou(mask, inside) for mask in flawed) < 0.6
    assert any((inside & ~mask).sum() > 100 for mask in flawed)
    gained = [{*classes[mask & ~inside]} for mask in flawed]
    assert {LEFT} in gained and {RIGHT} in gained and {LEFT, RIGHT} in gained  # one, or across


def test_what_a_flaw_would_ruin_is_only_rough() -> None:
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    inside[50, 50] = True  # one pixel, beside which any gained piece is large
    outline = inside.copy()
    for seed in range(30):
        classes = inside.astype(np.uint8)
        mask = flawed_outline(outline, inside, classes, np.random.default_rng(seed))
        assert iou(mask, inside) >= MIN_FLAWED_OVERLAP


def test_a_class_that_fills_the_picture_has_no_neighbour_to_gain_from() -> None:
    inside, classes = np.ones((SIDE, SIDE), dtype=bool), np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask = flawed_outline(inside, inside, classes, np.random.default_rng(0))
    assert iou(mask, inside) >= MIN_FLAWED_OVERLAP


@pytest.mark.parametrize(("how", "exact"), [(AS_ON_THE_WEB, 0.5), (AS_PROPOSED, 0.25)])
def test_as_many_are_cut_out_exactly_as_was_said(
    how: CutOuts, exact: float, classes: np.ndarray
) -> None:
    inside, rng = classes == ME, np.random.default_rng(0)
    cuts = [cut_out(inside, classes, how, rng) for _ in range(400)]
    assert np.mean([mask is inside for mask in cuts]) == pytest.approx(exact, abs=0.06)


def test_without_flaws_nothing_more_is_drawn(classes: np.ndarray) -> None:
    inside, rngs = classes == ME, [np.random.default_rng(5) for _ in range(2)]
    for _ in range(10):
        ours = cut_out(inside, classes, CutOuts(rough=1), rngs[0])
        rngs[1].random()  # rough or not
        assert np.array_equal(ours, rough_outline(inside, rngs[1]))
