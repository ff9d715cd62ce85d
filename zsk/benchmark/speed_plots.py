"""Plots of the speed measurements: where the time goes, and growth curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from . import speed_cases as cases
from .speed_bars import curve
from .speed_results import Measurement, part_names

INFERENCE_PLOT, GROWTH_PLOT = "speed_inference.png", "speed_growth.png"

# Okabe and Ito's colours stay apart in every common kind of colour blindness
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def draw_plots(results: Sequence[Measurement], folder: Path) -> list[Path]:
    """Write the plots that there are measurements for."""
    written = []
    bars = [r for r in results if r.measure == cases.INFERENCE]
    if bars:
        written.append(_draw_parts(bars, folder / INFERENCE_PLOT))
    growth = [
        m for m in cases.GROWTH if len({str(r.settings) for r in results if r.measure == m}) > 1
    ]
    if growth:
        written.append(_draw_growth(growth, results, folder / GROWTH_PLOT))
    return written


def _draw_parts(results: Sequence[Measurement], path: Path) -> Path:
    """A bar per variant, its parts one after the other."""
    figure = _figure(8.0, 1.2 + 0.45 * len(results))
    panel = figure.subplots()
    names = part_names(results)
    rows = range(len(results))
    left = [0.0] * len(results)
    for number, name in enumerate(names):
        widths = [result.parts.get(name, 0.0) for result in results]
        colour = _COLOURS[number % len(_COLOURS)]
        panel.barh(rows, widths, left=left, color=colour, label=name, height=0.6)
        left = [start + width for start, width in zip(left, widths)]
    for row, result, end in zip(rows, results, left):
        panel.annotate(
            f"{result.median_seconds:.3g} s", (end, row), (4, 0), textcoords="offset points",
            va="center", fontsize=8,
        )  # fmt: skip
    panel.set_yticks(rows, [result.variant for result in results])
    panel.invert_yaxis()
    panel.set_xlabel("seconds per photo", fontsize=8)
    panel.margins(x=0.12)
    return _finish(figure, [panel], path)


def _draw_growth(measures: Sequence[str], results: Sequence[Measurement], path: Path) -> Path:
    """A panel per measure, a line per variant, bars from the least to the most."""
    figure = _figure(3.4 * len(measures), 3.6)
    panels = list(figure.subplots(1, len(measures), squeeze=False)[0])
    variants = list(dict.fromkeys(r.variant for r in results if r.measure in measures))
    for panel, measure in zip(panels, measures):
        for number, variant in enumerate(variants):
            points = curve(results, measure, variant)
            if points:
                xs, found = zip(*points)
                middle = [r.median_seconds for r in found]
                below = [r.median_seconds - r.min_seconds for r in found]
                above = [r.max_seconds - r.median_seconds for r in found]
                colour = _COLOURS[number % len(_COLOURS)]
                panel.errorbar(
                    xs, middle, [below, above], fmt="o-", markersize=4, capsize=3, color=colour,
                    label=variant,
                )  # fmt: skip
        panel.set_xlabel(measure, fontsize=8)
        panel.set_ylim(bottom=0)
    panels[0].set_ylabel("seconds per photo", fontsize=8)
    return _finish(figure, panels, path)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display
    return figure


def _finish(figure: Figure, panels: Sequence[Axes], path: Path) -> Path:
    labelled: dict[str, Artist] = {}
    for panel in panels:
        panel.tick_params(labelsize=8)
        panel.grid(color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
        handles, labels = panel.get_legend_handles_labels()
        labelled.update(zip(labels, handles))
    figure.legend(
        list(labelled.values()), list(labelled), loc="outside lower center", ncols=4, frameon=False,
        fontsize=8,
    )  # fmt: skip
    figure.savefig(path)
    return path
