"""Plots over a setting and over iterations."""

from pathlib import Path

import numpy as np
from examples import result
from PIL import Image

from zsk.benchmark.plots import CurveOfRun, draw_plots, merge_curves
from zsk.benchmark.rows import CURVES, Definition, Table


def define(plot: str) -> Definition:
    table = Table("t", "Title", plot, ())
    return Definition("tables.yaml", (table,), ("t",), (1,), None, {}, {}, None)


def curve(seed: int = 1, system: str = "A", points=((10, 1.0, 2.0, None), (20, 3.0, 4.0, None))):
    return CurveOfRun("t", system, {}, seed, [list(point) for point in points])


def colours(path: Path) -> int:
    """How many strong colours a picture has: lines, not text."""
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3).astype(int)
    strong = pixels[np.ptp(pixels, axis=1) > 90]
    return len(np.unique(strong, axis=0))


def test_over_a_setting(tmp_path: Path) -> None:
    results = [
        result(seed=seed, hiou=value * seed, settings={"K": value})
        for seed in (1, 2)
        for value in (0, 2, 6)
    ]
    (path,) = draw_plots(define("K"), results, [], tmp_path)
    assert path.name == "t.png" and colours(path) > 0
    many = [result(f"S{i}", settings={"K": value}) for i in range(9) for value in (0, 2)]
    assert draw_plots(define("K"), many, [], tmp_path) == [path]
    assert colours(path) > 5
    # words stand at equal distances
    words = [result(settings={"K": value}) for value in ("sum", "mean")]
    assert draw_plots(define("K"), words, [], tmp_path / ".") == [path]


def test_nothing_to_draw(tmp_path: Path) -> None:
    assert draw_plots(define("K"), [], [], tmp_path) == []
    assert draw_plots(define("K"), [result(settings={"K": 1}), result()], [], tmp_path) == []
    assert draw_plots(define(""), [result()], [curve()], tmp_path) == []
    assert draw_plots(define(CURVES), [], [], tmp_path) == []
    assert draw_plots(define(CURVES), [], [curve(points=[(10, 1, 1, 1)])], tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_learning_curves(tmp_path: Path) -> None:
    (path,) = draw_plots(define(CURVES), [], [curve(1), curve(2), curve(1, "B")], tmp_path)
    assert colours(path) > 0


def test_curves_are_merged(tmp_path: Path) -> None:
    assert len(merge_curves(tmp_path, [curve(1), curve(2)])) == 2
    newer = curve(2, points=[(10, 9.0, 9.0, 9.0)])
    merged = merge_curves(tmp_path, [newer, curve(1, "B")])
    assert [(c.system, c.seed, len(c.points)) for c in merged] == [
        ("A", 1, 2),
        ("A", 2, 1),
        ("B", 1, 2),
    ]
    assert merge_curves(tmp_path, []) == merged
