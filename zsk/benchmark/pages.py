"""The results as Markdown tables and as CSV: mean ± standard deviation over seeds."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

from zsk.benchmark.results import MEASURES, Result, Spread, by_row, spreads
from zsk.benchmark.rows import Definition, Row, Table, describe
from zsk.evaluation.report import write_atomically

_COLUMNS = {
    "hiou": "hIoU",
    "miou_seen": "mIoU seen",
    "miou_unseen": "mIoU unseen",
    "pacc": "pAcc",
    "proposal_recall_seen": "recall seen",
    "proposal_recall_unseen": "recall unseen",
    "params": "params",
    "train_seconds": "training",
    "seconds_per_image": "per image",
}
_SCORES = tuple(_COLUMNS)[:6]  # those of which the best is marked
_LEGEND = """\
Mean ± standard deviation over the seeds (n), in percent; **bold** is the best of a column. Recall \
is the best IoU of the proposals with each segment. Parameters are the trained ones; training is \
the time of all iterations without start-up and evaluation, per image that of the model alone; \
each program has one CPU thread and shares the machine with others: times show an order of size \
only."""
_SUPERVISED = (
    "\\* fully supervised, trained on masks of all classes: not zero-shot, and never the best.\n"
)


def write_pages(
    results: Sequence[Result], definition: Definition, supervised: Collection[str], folder: Path
) -> None:
    """Write accuracy.md and accuracy.csv.

    Args:
        results: of any tables; those that the definition does not know come last.
        definition: titles and the order of tables and rows.
        supervised: names of fully supervised systems.
        folder: exists.
    """
    write_atomically(
        folder / "accuracy.md", markdown(results, definition, supervised).encode("utf-8")
    )
    write_atomically(folder / "accuracy.csv", as_csv(results).encode("utf-8"))


def markdown(results: Sequence[Result], definition: Definition, supervised: Collection[str]) -> str:
    """The page with one section per table that has results; arguments as in `write_pages`."""
    known = {table.name: table for table in definition.tables}
    names = [*known, *sorted({result.table for result in results} - known.keys())]
    parts = ["# Accuracy benchmark\n", _LEGEND + "\n"]
    for name in names:
        listed = [result for result in results if result.table == name]
        if listed:
            parts.append(_section(known.get(name, Table(name, name, "", ())), listed, supervised))
    parts.append(_footer(results, definition))
    return "\n".join(parts)


def as_csv(results: Sequence[Result]) -> str:
    """One line per row: its table, system, settings, number of seeds, then means and deviations."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    numbers = [f"{name}_{part}" for name in MEASURES for part in ("mean", "std")]
    writer.writerow(["table", "system", "settings", "seeds", "iterations", *numbers])
    for listed in by_row(results).values():
        first = listed[0]
        values: list[float | str] = []
        for value in spreads(listed).values():
            values += ["" if value is None else value.mean]
            values += ["" if value is None or value.std is None else value.std]
        settings, iterations = describe(first.settings), first.iterations or ""
        writer.writerow([first.table, first.system, settings, len(listed), iterations, *values])
    return file.getvalue()


def _section(table: Table, results: Sequence[Result], supervised: Collection[str]) -> str:
    rows = list(_in_order(table.rows, by_row(results)).values())
    numbers = [spreads(listed) for listed in rows]
    ranked = [n for n, listed in zip(numbers, rows) if listed[0].system not in supervised]
    shown = [name for name in _COLUMNS if any(n[name] is not None for n in numbers)]
    with_settings = any(listed[0].settings for listed in rows)
    header = ["system", *(["settings"] if with_settings else []), "iterations", "n"]
    lines = []
    for listed, values in zip(rows, numbers):
        first = listed[0]
        star = "\\*" if first.system in supervised else ""
        cells = [first.system + star, *([_code(first)] if with_settings else [])]
        cells += ["-" if first.iterations is None else str(first.iterations), str(len(listed))]
        for name in shown:
            text = _text(name, values[name])
            best = any(values is n for n in ranked) and _is_best(name, values, ranked)
            cells.append(f"**{text}**" if best else text)
        lines.append(cells)
    header += [_COLUMNS[name] for name in shown]
    sides = ["left"] * (2 if with_settings else 1)
    text = tabulate(
        lines,
        headers=header,
        tablefmt="pipe",
        colalign=[*sides, *["right"] * (len(header) - len(sides))],
        disable_numparse=True,
    )
    note = "\n" + _SUPERVISED if any(r.system in supervised for r in results) else ""
    return f"## {table.title}\n\n{text}\n{note}"


def _in_order(
    rows: Sequence[Row], found: Mapping[tuple[str, str, str], list[Result]]
) -> dict[tuple[str, str, str], list[Result]]:
    """The rows of the definition in its order, then the others."""
    wanted = [row.identity for row in rows]
    order = [key for key in wanted if key in found] + [key for key in found if key not in wanted]
    return {key: found[key] for key in order}


def _is_best(
    name: str, values: Mapping[str, Spread | None], rows: Sequence[Mapping[str, Spread | None]]
) -> bool:
    value = values[name]
    others = [row[name] for row in rows]
    means = [other.mean for other in others if other is not None]
    if name not in _SCORES or value is None:
        return False
    return value.mean == max(means) > min(means)


def _text(name: str, value: Spread | None) -> str:
    if value is None:
        return "-"
    if name == "params":
        return f"{value.mean / 1e6:.2f} M"
    digits, unit = {"train_seconds": (0, " s"), "seconds_per_image": (3, " s")}.get(name, (1, ""))
    deviation = "" if value.std is None else f" ± {value.std:.{digits}f}"
    return f"{value.mean:.{digits}f}{deviation}{unit}"


def _code(result: Result) -> str:
    return f"`{describe(result.settings)}`" if result.settings else ""


def _footer(results: Sequence[Result], definition: Definition) -> str:
    """What the numbers depend on besides the rows' own settings."""
    revisions = ", ".join(sorted({result.revision for result in results}))
    seeds = ", ".join(map(str, sorted({result.seed for result in results})))
    common = describe(definition.settings)
    lines = [f"Definition: {definition.name}; seeds {seeds}; code {revisions}."]
    if common:
        lines.append(f"Settings of all rows: `{common}`.")
    return "\n".join(lines) + "\n"
