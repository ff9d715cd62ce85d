"""Plots over a setting and over iterations."""

from pathlib import Path

import numpy as np
import pytest
from benchmark.accuracy.plots import draw_plots, merge_curves
from benchmark.accuracy.rows import CURVES
from examples import define, result
from PIL import Image


def curve(seed: int = 1, system: str = "A", points=((10, 1.0, 2.0, None), (20, 3.0, 4.0, None))):
    points = [list(point) for point in points]
    return {"table": "t", "system": system, "settings": {}, "seed": seed, "points": points}


def has_colours(path: Path) -> bool:
    """A picture has strong colours: lines, not text alone."""
    return bool(
        (np.ptp(np.asarray(Image.open(path).convert("RGB")).astype(int), axis=2) > 90).any()
    )


@pytest.mark.parametrize("values", [(0, 2, 6), ("sum", "mean")])
def test_over_a_setting(tmp_path: Path, values) -> None:
    results = [
        result(f"S{number}", seed, hiou=50.0 + seed, settings={"K": value})
        for number in range(9)
        for seed in (1, 2)
        for value in values
    ]
    assert draw_plots(define(plot="K"), results, [], tmp_path) == [tmp_path / "t.png"]
    assert has_colours(tmp_path / "t.png")


def test_learning_curves(tmp_path: Path) -> None:
    curves = [curve(1), curve(2), curve(1, "B")]
    assert draw_plots(define(plot=CURVES), [], curves, tmp_path) == [tmp_path / "t.png"]
    assert has_colours(tmp_path / "t.png")


@pytest.mark.parametrize(
    "plot, results, curves",
    [
        ("K", [], []),
        ("K", [result(settings={"K": 1}), result()], []),
        ("", [result()], [curve()]),
        (CURVES, [], []),
        (CURVES, [], [curve(points=[(10, 1, 1, 1)])]),
    ],
)
def test_nothing_to_draw(tmp_path: Path, plot, results, curves) -> None:
    assert draw_plots(define(plot=plot), results, curves, tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_curves_are_merged(tmp_path: Path) -> None:
    assert len(merge_curves(tmp_path, [curve(1), curve(2)])) == 2
    merged = merge_curves(tmp_path, [curve(2, points=[(10, 9.0, 9.0, 9.0)]), curve(1, "B")])
    found = [(c["system"], c["seed"], len(c["points"])) for c in merged]
    assert found == [("A", 1, 2), ("A", 2, 1), ("B", 1, 2)]
    assert merge_curves(tmp_path, []) == merged
