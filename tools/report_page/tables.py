"""The tables of the report page: headline, per class, confusions, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from report_page.reported import Benchmark
from report_page.saved import SavedEvaluation

from zsk.evaluation.cells import rows_of_cells
from zsk.evaluation.report import HEADLINE, percent

_REPORTED_KEYS = ("hIoU", "mIoU-seen", "mIoU-unseen")
_NAMED_CONFUSIONS = 20


class Row(NamedTuple):
    """A row; cells that are no Markup are escaped by the template."""

    name: str
    cells: Sequence[str]
    kind: str = ""  # its CSS class


class Table(NamedTuple):
    head: Sequence[str]
    rows: Sequence[Row]
    kind: str = ""  # its CSS class


def headline_table(evaluations: Sequence[SavedEvaluation], benchmark: Benchmark | None) -> Table:
    """Evaluations of one task, the best of several in bold, then the source's reported rows.

    Below an evaluation with cells stand their numbers and how far they are from those of pixels.
    """
    shown = {key for evaluation in evaluations for key in evaluation.metrics}
    if benchmark is not None:
        shown.update(_REPORTED_KEYS)
    keys = [key for key in HEADLINE if key in shown] + sorted(shown - set(HEADLINE))
    columns = [_best_in_bold([e.metrics for e in evaluations], key) for key in keys]
    rows = []
    for e, *cells in zip(evaluations, *columns):
        rows.append(Row(e.label, cells))
        further = rows_of_cells(e.cells, keys) if e.cells else {}
        rows += [Row(f"{e.label}, {name}", numbers) for name, numbers in further.items()]
    for result in benchmark.results if benchmark is not None else ():
        numbers = dict(zip(_REPORTED_KEYS, (result.hiou, result.seen, result.unseen)))
        mark = "*" if result.note else ""
        cells = [f"{numbers[key]:.1f}{mark}" if key in numbers else "-" for key in keys]
        name = Markup('{} <span class="tag">reported</span>').format(result.method)
        rows.append(Row(name, cells, "reported"))
    return Table(["in percent", *keys], rows)


def per_class_table(evaluations: Sequence[SavedEvaluation]) -> Table:
    """IoU of the classes with ground truth, in label order; of a single evaluation also Acc."""
    vocabulary = evaluations[0].vocabulary
    several = len(evaluations) > 1
    head = [f"IoU, {e.label}" for e in evaluations] if several else ["IoU", "Acc"]
    values = [e.iou for e in evaluations] if several else [evaluations[0].iou, evaluations[0].acc]
    rows = []
    for name, seen in zip(vocabulary.names, vocabulary.seen):
        if any(name in evaluation.iou for evaluation in evaluations):
            plain = [percent(numbers, name) for numbers in values]
            cells = _best_in_bold(values, name) if several else plain
            group = evaluations[0].groups[not seen]
            rows.append(Row(name, [group, *cells], "seen" if seen else "unseen"))
    return Table(["class", "group", *head], rows)


def confusion_table(conf: np.ndarray, evaluation: SavedEvaluation) -> Table:
    """The confusions of the most pixels, largest first; equal ones by label ids.

    `conf`: (K+1,K+1) int64, rows are ground truth; row K holds ignored pixels.
    """
    counts = conf[:-1, :-1]
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    rows = []
    for place in np.argsort(-wrong, axis=None, kind="stable")[:_NAMED_CONFUSIONS]:
        truth, taken_for = np.unravel_index(place, wrong.shape)
        pixels = wrong[truth, taken_for]
        if pixels:
            wholes = (counts[truth].sum(), conf[:-1].sum())
            shares = [f"{100.0 * pixels / whole:.1f} %" for whole in wholes]
            name, other = (class_name(evaluation, label) for label in (truth, taken_for))
            rows.append(Row(name, [other, *shares]))
    head = ["class", "taken for", "of the class's pixels", "of all labelled pixels"]
    return Table(head, rows)


def provenance_table(evaluations: Sequence[SavedEvaluation]) -> Table:
    """One column per evaluation: data set, code, libraries and date."""
    facts = [_facts(evaluation) for evaluation in evaluations]
    keys = dict.fromkeys(key for column in facts for key in column)
    rows = [Row(key, [column.get(key, "-") for column in facts]) for key in keys]
    return Table(["", *(e.label for e in evaluations)], rows, "provenance")


def class_name(evaluation: SavedEvaluation, label: int) -> str:
    """A class's name; one that is not seen says so."""
    name = evaluation.vocabulary.names[label]
    kind = evaluation.groups[1].removesuffix("-names")  # "unseen" or "new"
    unseen = Markup('<span class="unseen-name">{} ({})</span>')
    return name if evaluation.vocabulary.seen[label] else unseen.format(name, kind)


def _facts(evaluation: SavedEvaluation) -> dict[str, str]:
    facts = {
        "data set": evaluation.dataset,
        "images": str(evaluation.images),
        "metrics.json last written": evaluation.written,
    }
    for key, value in evaluation.provenance.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{name} {version}" for name, version in sorted(value.items()))
        facts[key.replace("_", " ")] = str(value)
    return facts


def _best_in_bold(rows: Sequence[Mapping[str, float]], key: str) -> list[str]:
    """One cell per row; of several, those that read as the highest number are bold."""
    cells = [percent(numbers, key) for numbers in rows]
    known = [(numbers[key], cell) for numbers, cell in zip(rows, cells) if key in numbers]
    if len({cell for _, cell in known}) < 2:
        return cells  # nothing to choose
    best = max(known)[1]
    return [Markup("<strong>{}</strong>").format(c) if c == best else c for c in cells]
