"""The tables of the report page, as HTML: headline, per class, confusions, provenance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np

from zsk.evaluation.confusion import top_confusions
from zsk.evaluation.report import HEADLINE, percent
from zsk.evaluation.reported import Benchmark
from zsk.evaluation.saved import SavedEvaluation
from zsk.vocabulary import Vocabulary

_REPORTED_KEYS = ("hIoU", "mIoU-seen", "mIoU-unseen")
_NAMED_CONFUSIONS = 20


def table(head: Sequence[str], rows: Iterable[str], kind: str = "") -> str:
    """A table of rows made by `row`, in a frame that scrolls where the screen is narrow."""
    cells = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "\n".join(rows)
    return (
        f'<div class="wide" tabindex="0"><table{_class(kind)}><thead><tr>{cells}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def row(name: str, cells: Iterable[str], kind: str = "", words: bool = False) -> str:
    """One row; `name` and `cells` are HTML, `words` aligns the cells as text."""
    start = '<td class="words">' if words else "<td>"
    tail = "".join(f"{start}{cell}</td>" for cell in cells)
    return f'<tr{_class(kind)}><th scope="row">{name}</th>{tail}</tr>'


def headline_table(evaluations: Sequence[SavedEvaluation], benchmark: Benchmark | None) -> str:
    """Evaluations of one task, the best of several in bold, then the source's reported rows."""
    shown = {key for evaluation in evaluations for key in evaluation.metrics}
    if benchmark is not None:
        shown.update(_REPORTED_KEYS)
    keys = [key for key in HEADLINE if key in shown] + sorted(shown - set(HEADLINE))
    columns = [_best_in_bold([e.metrics for e in evaluations], key) for key in keys]
    rows = [row(escape(e.label), cells) for e, *cells in zip(evaluations, *columns)]
    for result in benchmark.results if benchmark is not None else ():
        numbers = dict(zip(_REPORTED_KEYS, (result.hiou, result.seen, result.unseen)))
        mark = "*" if result.note else ""
        cells = [f"{numbers[key]:.1f}{mark}" if key in numbers else "-" for key in keys]
        name = f'{escape(result.method)} <span class="tag">reported</span>'
        rows.append(row(name, cells, "reported"))
    return table(["in percent", *map(escape, keys)], rows)


def per_class_table(evaluations: Sequence[SavedEvaluation]) -> str:
    """IoU of the classes with ground truth, in label order; of a single evaluation also Acc."""
    vocabulary = evaluations[0].vocabulary
    several = len(evaluations) > 1
    head = [f"IoU, {escape(e.label)}" for e in evaluations] if several else ["IoU", "Acc"]
    values = [e.iou for e in evaluations] if several else [evaluations[0].iou, evaluations[0].acc]
    rows = []
    for name, seen in zip(vocabulary.names, vocabulary.seen):
        if not any(name in numbers for numbers in values):
            continue
        if several:
            cells = _best_in_bold(values, name)
        else:
            cells = [percent(numbers, name) for numbers in values]
        group = "seen" if seen else "unseen"
        rows.append(row(escape(name), [group, *cells], "" if seen else "unseen"))
    return table(["class", "group", *head], rows)


def confusion_table(conf: np.ndarray, vocabulary: Vocabulary) -> str:
    """The largest confusions by name, or a sentence where no pixel was confused."""
    confusions = top_confusions(conf, _NAMED_CONFUSIONS)
    if not confusions:
        return "<p>No labelled pixel was taken for another class.</p>"
    total = conf[:-1].sum()
    rows = [
        row(
            class_name(vocabulary, c.truth),
            [
                class_name(vocabulary, c.taken_for),
                f"{c.share:.1f} %",
                f"{100.0 * c.pixels / total:.1f} %",
            ],
        )
        for c in confusions
    ]
    head = ["class", "taken for", "of the class's pixels", "of all labelled pixels"]
    return table(head, rows)


def class_name(vocabulary: Vocabulary, label: int) -> str:
    """A class's name as HTML; an unseen class says so."""
    name = escape(vocabulary.names[label])
    return name if vocabulary.seen[label] else f'<span class="unseen-name">{name} (unseen)</span>'


def provenance_table(evaluations: Sequence[SavedEvaluation]) -> str:
    """One column per evaluation: what was measured, by which code, when."""
    facts = [_facts(evaluation) for evaluation in evaluations]
    keys = list(dict.fromkeys(key for column in facts for key in column))
    rows = [row(escape(key), [escape(c.get(key, "-")) for c in facts], words=True) for key in keys]
    return table(["", *(escape(e.label) for e in evaluations)], rows, "provenance")


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


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
    if len(known) < 2:
        return cells
    best = max(known)[1]
    if all(cell == best for _, cell in known):
        return cells  # nothing to choose
    return [f"<strong>{cell}</strong>" if cell == best else cell for cell in cells]
