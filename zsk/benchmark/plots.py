"""Plots of the results: scores over a setting that a table varies, and learning curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from zsk.benchmark.results import Result, by_row, spread
from zsk.benchmark.rows import CURVES, Definition, Table, describe, identity
from zsk.evaluation.report import write_atomically

CURVES_FILE = "learning_curves.json"

_SCORES = {"hiou": "hIoU", "miou_seen": "mIoU seen", "miou_unseen": "mIoU unseen"}
# Okabe and Ito's colours stay apart in every common kind of colour blindness
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


@dataclass(frozen=True)
class CurveOfRun:
    """The learning curve of one row with one seed.

    `points`: (iteration, hIoU, mIoU-seen, mIoU-unseen), percent or None.
    """

    table: str
    system: str
    settings: dict[str, Any]
    seed: int
    points: Sequence[Sequence[float | None]]

    @property
    def row(self) -> tuple[str, str, str]:
        return identity(self.table, self.system, self.settings)


def merge_curves(folder: Path, new: Sequence[CurveOfRun]) -> list[CurveOfRun]:
    """CURVES_FILE with `new` instead of what has the same row and seed; writes it back."""
    path = folder / CURVES_FILE
    old = [CurveOfRun(**entry) for entry in json.loads(path.read_text())] if path.exists() else []
    replaced = {(curve.row, curve.seed) for curve in new}
    kept = [curve for curve in old if (curve.row, curve.seed) not in replaced]
    merged = sorted([*kept, *new], key=lambda curve: (curve.row, curve.seed))
    text = json.dumps([asdict(curve) for curve in merged]) + "\n"
    write_atomically(path, text.encode())
    return merged


def draw_plots(
    definition: Definition,
    results: Sequence[Result],
    curves: Sequence[CurveOfRun],
    folder: Path,
) -> list[Path]:
    """Write <table>.png for every table with a plot and at least two points to draw."""
    written = []
    for table in definition.tables:
        path = folder / f"{table.name}.png"
        if table.plot == CURVES:
            drawn = _draw_curves(table, [c for c in curves if c.table == table.name], path)
        else:
            drawn = bool(table.plot) and _draw_over_setting(
                table, [r for r in results if r.table == table.name], path
            )
        if drawn:
            written.append(path)
    return written


def _draw_over_setting(table: Table, results: Sequence[Result], path: Path) -> bool:
    """Scores over the values of a key, a panel per score, a line per system, bars over seeds."""
    rows = [listed for listed in by_row(results).values() if table.plot in listed[0].settings]
    values = list({listed[0].settings[table.plot]: None for listed in rows})
    if len(values) < 2:
        return False
    numeric = all(isinstance(value, (int, float)) for value in values)
    figure, panels = _figure(table.title, len(_SCORES))
    for panel, (name, title) in zip(panels, _SCORES.items()):
        for number, system in enumerate(dict.fromkeys(listed[0].system for listed in rows)):
            colour = _COLOURS[number % len(_COLOURS)]
            points = []
            for listed in rows:
                score = spread(getattr(result, name) for result in listed)
                if listed[0].system == system and score is not None:
                    value = listed[0].settings[table.plot]
                    x = value if numeric else values.index(value)
                    points.append((x, score.mean, score.std or 0.0))
            if points:
                xs, means, deviations = zip(*sorted(points))
                panel.errorbar(
                    xs, means, deviations, fmt="o-", capsize=3, color=colour, label=system
                )
        panel.set_title(title, fontsize=10)
        panel.set_xlabel(table.plot, fontsize=8)
        panel.set_xticks(values if numeric else range(len(values)), list(map(str, values)))
    _finish(figure, panels, path)
    return True


def _draw_curves(table: Table, curves: Sequence[CurveOfRun], path: Path) -> bool:
    """Scores over iterations: the mean over seeds, and a band of a standard deviation."""
    rows: dict[tuple[str, str, str], list[CurveOfRun]] = {}
    for curve in curves:
        rows.setdefault(curve.row, []).append(curve)
    if not any(len(curve.points) > 1 for curve in curves):
        return False
    figure, panels = _figure(table.title, len(_SCORES))
    for position, (panel, title) in enumerate(zip(panels, _SCORES.values()), start=1):
        for number, listed in enumerate(rows.values()):
            colour = _COLOURS[number % len(_COLOURS)]
            means = _mean_curve(listed, position)
            label = f"{listed[0].system} {describe(listed[0].settings)}".rstrip()
            xs, ys, stds = zip(*means) if means else ((), (), ())
            panel.plot(xs, ys, "o-", markersize=3, color=colour, label=label)
            low, high = [y - s for y, s in zip(ys, stds)], [y + s for y, s in zip(ys, stds)]
            panel.fill_between(xs, low, high, color=colour, alpha=0.15, linewidth=0)
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("iteration", fontsize=8)
    _finish(figure, panels, path)
    return True


def _mean_curve(curves: Sequence[CurveOfRun], position: int) -> list[tuple[float, float, float]]:
    """(iteration, mean, deviation) of a score where any run has it."""
    values: dict[float, list[float | None]] = {}
    for curve in curves:
        for point in curve.points:
            assert point[0] is not None
            values.setdefault(point[0], []).append(point[position])
    known: Mapping[float, Any] = {x: spread(listed) for x, listed in sorted(values.items())}
    return [(x, s.mean, s.std or 0.0) for x, s in known.items() if s is not None]


def _figure(title: str, panels: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(3.6 * panels, 3.8), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display
    figure.suptitle(title.replace("$", r"\$"), fontsize=11)
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _finish(figure: Figure, panels: Sequence[Axes], path: Path) -> None:
    for panel in panels:
        panel.tick_params(labelsize=8)
        panel.set_ylim(bottom=0)
        panel.grid(color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("percent", fontsize=8)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figure.savefig(path)
