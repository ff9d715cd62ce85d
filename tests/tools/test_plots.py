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


def over(*values):
    return [result(seed=seed, settings={"K": value}) for seed in (1, 2) for value in values]


@pytest.mark.parametrize(
    "plot, results, curves, drawn",
    [
        ("K", over(0, 2, 6), [], True),
        ("K", over("sum", "mean"), [], True),
        ("K", [*over(1), result()], [], False),
        ("", over(1, 2), [curve()], False),
        (CURVES, over(1, 2), [curve(1), curve(2), curve(1, "B")], True),
        (CURVES, [], [curve(points=[(10, 1, 1, 1)])], False),
    ],
)
def test_at_least_two_points_are_drawn(tmp_path: Path, plot, results, curves, drawn) -> None:
    path = tmp_path / "t.png"
    assert draw_plots(define(plot=plot), results, curves, tmp_path) == [path] * drawn
    assert path.exists() == drawn
    if drawn:  # lines, not text alone
        assert np.ptp(np.asarray(Image.open(path).convert("RGB")).astype(int), axis=2).max() > 90


def test_curves_are_merged(tmp_path: Path) -> None:
    assert len(merge_curves(tmp_path, [curve(1), curve(2)])) == 2
    merged = merge_curves(tmp_path, [curve(2, points=[(10, 9.0, 9.0, 9.0)]), curve(1, "B")])
    found = [(c["system"], c["seed"], len(c["points"])) for c in merged]
    assert found == [("A", 1, 2), ("A", 2, 1), ("B", 1, 2)]
    assert merge_curves(tmp_path, []) == merged
