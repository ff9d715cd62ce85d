"""Plots of the results: scores over a setting that a table varies, and learning curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.accuracy.results import Result, by_row, spread
from benchmark.accuracy.rows import CURVES, Definition, Table, describe, identity
from matplotlib.figure import Figure

from zsk.errors import UserError
from zsk.evaluation.report import write_atomically
from zsk.files import replacing
from zsk.protocol import INDUCTIVE, noted_protocol, short_name

CURVES_FILE = "learning_curves.json"

_SCORES = {"hiou": "hIoU", "miou_seen": "mIoU seen", "miou_unseen": "mIoU unseen"}
# Okabe and Ito's colours stay apart in every common kind of colour blindness
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", ":")  # another one for each round through the colours

Curve = dict[str, Any]
"""The learning curve of one row with one seed: "table", "system", "settings", "seed",
"protocol" (see `noted_protocol`) and "points", (iteration, hIoU, mIoU-seen, mIoU-unseen)
in percent or None."""
Values = dict[float, list[float | None]]
"""x → the y of each seed."""
Lines = dict[str, list[Values]]
"""Label of a line → its values for each of _SCORES."""


def read_curves(folder: Path) -> list[Curve]:
    """The curves in a folder's CURVES_FILE; [] where there is none.

    Raises:
        UserError: the file is damaged or holds something else.
    """
    path = folder / CURVES_FILE
    try:
        curves = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        list(map(_key, curves))
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise UserError(f"{path} cannot be read ({error}): mend it, or move it away") from error
    return curves


def merge_curves(folder: Path, new: Sequence[Curve], results: Sequence[Result]) -> list[Curve]:
    """CURVES_FILE with `new` instead of what has the same row and seed; writes it back.

    Curves without one of the merged `results` are dropped (see `results.merge`).
    """
    merged = {_key(curve): curve for curve in [*read_curves(folder), *new]}
    kept = {(result.row, result.seed) for result in results}
    curves = [merged[key] for key in sorted(merged) if key in kept]
    write_atomically(folder / CURVES_FILE, (json.dumps(curves) + "\n").encode())
    return curves


def _key(curve: Curve) -> tuple[Any, int]:
    return identity(curve["table"], curve["system"], curve["settings"]), curve["seed"]


def draw_plots(
    definition: Definition, results: Sequence[Result], curves: Sequence[Curve], folder: Path
) -> list[Path]:
    """Write <table>.png for every table with a plot and at least two points to draw."""
    written = []
    for table in definition.tables:
        ticks: dict[Any, float] = {}
        if table.plot == CURVES:
            lines = _over_iterations([curve for curve in curves if curve["table"] == table.name])
        elif table.plot:
            of_table = [r for r in results if r.table == table.name and table.plot in r.settings]
            lines, ticks = _over_setting(of_table, table.plot)
        else:
            continue
        if len({x for scores in lines.values() for values in scores for x in values}) > 1:
            written.append(folder / f"{table.name}.png")
            _draw(table, lines, ticks, written[-1])
    return written


def _over_iterations(curves: Sequence[Curve]) -> Lines:
    """A line for each row that was evaluated after several iterations."""
    lines: Lines = {}
    for curve in curves:
        name = _name(curve["system"], noted_protocol(curve))
        label = f"{name} {describe(curve['settings'])}".rstrip()
        line = lines.setdefault(label, [{} for _ in _SCORES])
        for x, *scores in curve["points"]:
            for values, score in zip(line, scores):
                values.setdefault(x, []).append(score)
    return {label: line for label, line in lines.items() if len(line[0]) > 1}


def _over_setting(results: Sequence[Result], key: str) -> tuple[Lines, dict[Any, float]]:
    """A line for each system and its other settings; and the values of the setting → x."""
    settings = [listed[0].settings[key] for listed in by_row(results).values()]
    numeric = all(isinstance(value, (int, float)) for value in settings)
    ticks = {value: value if numeric else i for i, value in enumerate(dict.fromkeys(settings))}
    lines: Lines = {}
    for result in results:
        others = {k: value for k, value in result.settings.items() if k != key}
        name = f"{_name(result.system, result.protocol)} {describe(others)}".rstrip()
        line = lines.setdefault(name, [{} for _ in _SCORES])
        for values, score in zip(line, _SCORES):
            x = ticks[result.settings[key]]
            values.setdefault(x, []).append(getattr(result, score))
    return lines, ticks


def _name(system: str, protocol: str) -> str:
    return system if protocol == INDUCTIVE else f"{system} ({short_name(protocol)})"


def _draw(table: Table, lines: Lines, ticks: dict[Any, float], path: Path) -> None:
    """A panel for each score: means over seeds, with a band of a standard deviation."""
    figure = Figure(figsize=(3.6 * len(_SCORES), 3.8), dpi=120, layout="constrained")
    figure.suptitle(table.title.replace("$", r"\$"), fontsize=11)
    panels = figure.subplots(1, len(_SCORES))
    for position, (panel, title) in enumerate(zip(panels, _SCORES.values())):
        for number, (label, scores) in enumerate(lines.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            dashes = _DASHES[number // len(_COLOURS) % len(_DASHES)]
            means = [(x, spread(values)) for x, values in sorted(scores[position].items())]
            known = [(x, s.mean, s.std or 0.0) for x, s in means if s is not None]
            xs, ys = [x for x, _, _ in known], [y for _, y, _ in known]
            low, high = [y - std for _, y, std in known], [y + std for _, y, std in known]
            panel.plot(xs, ys, f"o{dashes}", markersize=3, color=colour, label=label)
            panel.fill_between(xs, low, high, color=colour, alpha=0.15, linewidth=0)
        if ticks:
            panel.set_xscale("log" if table.logarithmic else "linear")
            panel.minorticks_off()  # the values alone are labelled
            panel.set_xticks(list(ticks.values()), list(map(str, ticks)))
        panel.set_title(title, fontsize=10)
        panel.set_xlabel(table.plot if ticks else "iteration", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.set_ylim(bottom=0)
        panel.grid(color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("percent", fontsize=8)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    with replacing(path) as unfinished:
        figure.savefig(unfinished)
