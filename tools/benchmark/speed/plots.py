"""The results as plots: inference in bars, the growth curves in a panel each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from zsk.files import replacing

from .cases import GROWTH, INFERENCE
from .measure import Result

INFERENCE_PLOT, GROWTH_PLOT = "speed_inference.png", "speed_growth.png"


def draw_plots(results: Sequence[Result], folder: Path) -> None:
    """Write the plots that there are results for."""
    compared = [result for result in results if result.measure == INFERENCE]
    if compared:
        _draw_inference(compared, folder / INFERENCE_PLOT)
    curves = [[r for r in results if r.measure == measure] for measure in GROWTH]
    curves = [curve for curve in curves if curve]
    if curves:
        _draw_growth(curves, folder / GROWTH_PLOT)


def _draw_inference(results: Sequence[Result], path: Path) -> None:
    figure = Figure(figsize=(8.0, 1.0 + 0.4 * len(results)), dpi=120, layout="constrained")
    panel = figure.subplots()
    seconds = [result.median_seconds for result in results]
    bars = panel.barh([result.variant for result in results], seconds, height=0.6)
    panel.bar_label(bars, [f"{value:.3g} s" for value in seconds], padding=4)
    panel.invert_yaxis()
    panel.margins(x=0.12)
    panel.set_xlabel("seconds per photo")
    _save(figure, path)


def _draw_growth(curves: Sequence[Sequence[Result]], path: Path) -> None:
    """A panel per measure, a line per variant, bars from the least to the most."""
    figure = Figure(figsize=(3.4 * len(curves), 3.4), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for panel, results in zip(panels, curves):
        measure = results[0].measure
        for variant in dict.fromkeys(result.variant for result in results):
            listed = [result for result in results if result.variant == variant]
            listed.sort(key=lambda result: result.settings[measure])
            middle = [result.median_seconds for result in listed]
            spread = [
                [r.median_seconds - r.min_seconds for r in listed],
                [r.max_seconds - r.median_seconds for r in listed],
            ]
            xs = [result.settings[measure] for result in listed]
            panel.errorbar(xs, middle, spread, fmt="o-", capsize=3, label=variant)
        panel.set_xlabel(measure)
        panel.set_ylim(bottom=0)
    panels[0].set_ylabel("seconds per photo")
    panels[0].legend(frameon=False)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    for panel in figure.axes:
        panel.grid(color="#dddddd")
        panel.set_axisbelow(True)
    with replacing(path) as unfinished:
        figure.savefig(unfinished)
