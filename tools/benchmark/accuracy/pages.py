"""The results as Markdown tables: mean ± standard deviation over seeds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from benchmark.accuracy.results import Result, Spread, by_row, spread
from benchmark.accuracy.rows import Definition, Table, describe
from tabulate import tabulate

from zsk.protocol import INDUCTIVE, LEAK, PROTOCOLS, TRANSDUCTIVE, short_name

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
_REPORTED_KEYS = ("hIoU", "seen", "unseen")
_REPORTED = (
    "Reported: what the papers print for the published system on {}. Not measured here, and not "
    "comparable with the other columns.\n"
)
_MOST_NAMED = 5  # rows in a sentence
_STARTS = (
    "Training that starts from the weights of another one, whose iterations and time come on top: "
)
_PROTOCOLS = {
    TRANSDUCTIVE: "Transductive: training photos had pseudo-labels of the unseen classes. Not "
    "comparable with inductive systems.\n",
    LEAK: "Leak: true masks or pictures of unseen classes were used in training. No zero-shot "
    "results, and not comparable with any others.\n",
}
_SUPERVISED = (
    "\\* fully supervised, trained on masks of all classes: not zero-shot, and never the best.\n"
)


def markdown(results: Sequence[Result], definition: Definition, supervised: Collection[str]) -> str:
    """The page with one section per table that has results.

    Args:
        results: of any tables; those that the definition does not know come last.
        definition: titles and the order of tables and rows.
        supervised: names of fully supervised systems.
    """
    known = {table.name: table for table in definition.tables}
    parts = ["# Accuracy benchmark\n", _LEGEND + "\n"]
    for name in [*known, *sorted({result.table for result in results} - known.keys())]:
        listed = [result for result in results if result.table == name]
        if listed:
            parts.append(_section(known.get(name, Table(name, name, "", ())), listed, supervised))
    revisions = ", ".join(sorted({result.revision for result in results}))
    seeds = ", ".join(map(str, sorted({result.seed for result in results})))
    parts.append(f"Definition: {definition.name}; seeds {seeds}; code {revisions}.")
    if definition.settings:
        parts.append(f"Settings of all rows: `{describe(definition.settings)}`.")
    parts += _doubts(results, definition)
    return "\n".join(parts) + "\n"


def _doubts(results: Sequence[Result], definition: Definition) -> Iterator[str]:
    """Sentences about rows of several codes, and of another definition than today's."""
    keys = {
        row.identity: definition.configuration_key(row)
        for table in definition.tables
        for row in table.rows
    }
    codes, others = [], []
    for row, listed in by_row(results).items():
        name = f"{listed[0].table}: {listed[0].system} {describe(listed[0].settings)}".rstrip()
        if len({(result.revision, result.device) for result in listed}) > 1:
            codes.append(name)
        if any(result.configuration != keys.get(row) for result in listed):
            others.append(name)
    if codes:
        yield f"Seeds of several codes or devices: {'; '.join(codes)}."
    if others:
        shown = "; ".join(others[:_MOST_NAMED]) + ("; …" if len(others) > _MOST_NAMED else "")
        yield (
            f"{len(others)} rows were made by another definition than today's, or before this was "
            f"noted, so the settings named here may not be theirs: {shown}."
        )


def _section(table: Table, results: Sequence[Result], supervised: Collection[str]) -> str:
    """The heading, a table or, where some rows are not inductive, one per protocol, and notes."""
    parts = [f"## {table.title}\n"]
    found = [one for one in PROTOCOLS if any(result.protocol == one for result in results)]
    for protocol in found:
        listed = [result for result in results if result.protocol == protocol]
        parts += [f"### {short_name(protocol).capitalize()}\n"] if found != [INDUCTIVE] else []
        parts.append(_table(table, listed, supervised) + "\n")
    parts += [_PROTOCOLS[protocol] for protocol in found if protocol != INDUCTIVE]
    if table.settings:
        parts.append(f"Settings of all rows of this table: `{describe(table.settings)}`.\n")
    starts = [
        f"{row.system} from {Path(row.start.config).stem} {describe(row.start.settings)}".rstrip()
        for row in table.rows
        if row.start
    ]
    if starts:
        parts.append(_STARTS + "; ".join(dict.fromkeys(starts)) + ".\n")
    if any(row.reported for row in table.rows):
        parts.append(_REPORTED.format(table.reported))
    if any(result.system in supervised for result in results):
        parts.append(_SUPERVISED)
    return "\n".join(parts)


def _table(table: Table, results: Sequence[Result], supervised: Collection[str]) -> str:
    found = by_row(results)
    wanted = [row.identity for row in table.rows]
    keys = [*(key for key in wanted if key in found), *(key for key in found if key not in wanted)]
    rows = [(found[key][0], len(found[key]), _spreads(found[key])) for key in keys]
    shown = [name for name in _COLUMNS if any(values[name] for _, _, values in rows)]
    zero_shot = [values for first, _, values in rows if first.system not in supervised]
    best = {name: _best(name, zero_shot) for name in shown}
    reported = {row.identity: row.reported for row in table.rows if row.identity in found}
    with_settings = any(first.settings for first, _, _ in rows)
    with_reported = _REPORTED_KEYS if any(reported.values()) else ()
    head = ["system", *(["settings"] if with_settings else [])]
    sides = ["left"] * len(head) + ["right"] * (2 + len(shown) + len(with_reported))
    head += ["iterations", "n", *(_COLUMNS[name] for name in shown)]
    head += [f"reported {key}" for key in with_reported]
    lines = []
    for first, count, values in rows:
        ranked = first.system not in supervised
        cells = [first.system if ranked else first.system + "\\*"]
        if with_settings:
            cells.append(f"`{describe(first.settings)}`" if first.settings else "")
        cells += ["-" if first.iterations is None else str(first.iterations), str(count)]
        for name in shown:
            value, text = values[name], _text(name, values[name])
            is_best = ranked and value is not None and value.mean == best[name]
            cells.append(f"**{text}**" if is_best else text)
        numbers = reported.get(first.row, {})
        cells += [f"{numbers[key]:.1f}" if key in numbers else "-" for key in with_reported]
        lines.append(cells)
    return tabulate(lines, head, tablefmt="pipe", colalign=sides, disable_numparse=True)


def _best(name: str, rows: Sequence[Mapping[str, Spread | None]]) -> float | None:
    """The highest mean of a score, None where all are equal."""
    means = [value.mean for row in rows if (value := row[name]) is not None]
    return max(means) if name in _SCORES and means and max(means) > min(means) else None


def _spreads(results: Sequence[Result]) -> dict[str, Spread | None]:
    """The columns over the results of one row."""
    return {name: spread(getattr(result, name) for result in results) for name in _COLUMNS}


def _text(name: str, value: Spread | None) -> str:
    if value is None:
        return "-"
    if name == "params":
        return f"{value.mean / 1e6:.2f} M"
    digits, unit = {"train_seconds": (0, " s"), "seconds_per_image": (3, " s")}.get(name, (1, ""))
    deviation = "" if value.std is None else f" ± {value.std:.{digits}f}"
    return f"{value.mean:.{digits}f}{deviation}{unit}"
