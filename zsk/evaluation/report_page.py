"""One HTML page about one or several evaluations, with every picture inside it and as a PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image

from zsk.evaluation.chart import draw_per_class_iou
from zsk.evaluation.confusion import draw_confusion
from zsk.evaluation.page_tables import (
    class_name,
    confusion_table,
    headline_table,
    per_class_table,
    provenance_table,
)
from zsk.evaluation.page_template import PAGE
from zsk.evaluation.photo_grid import GridRow
from zsk.evaluation.report import CONFUSION_FILE, write_atomically
from zsk.evaluation.reported import Benchmark, find_benchmark
from zsk.evaluation.saved import SavedEvaluation

PAGE_FILE = "report.html"


def write_page(
    evaluations: Sequence[SavedEvaluation], rows: Sequence[GridRow], folder: Path, today: str
) -> Path:
    """Write report.html and its pictures; the same arguments give the same page.

    Evaluations of different data sets, numbers of images or vocabularies get sections of their own:
    only what can be compared stands in one table.

    Args:
        evaluations: at least one.
        rows: photos whose panels are photo, ground truth, then one prediction per evaluation.
        folder: where the page goes, with per_class_iou_<n>.png, confusion_<n>.png (n counts
            evaluations from 1) and grid_<name>.png; made where it is missing.
        today: the date that the page carries.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tasks = list(dict.fromkeys(evaluation.task for evaluation in evaluations))
    lead = f"<p>{_plural(len(evaluations), 'evaluation')}, in percent. Page made on {today}.</p>"
    if len(tasks) > 1:
        lead += (
            "<p>They differ in data set, number of images or classes: compare numbers within a "
            "section only.</p>"
        )
    numbers = {id(evaluation): n for n, evaluation in enumerate(evaluations, start=1)}
    body = []
    for task in tasks:
        members = [evaluation for evaluation in evaluations if evaluation.task == task]
        body.append(_section(members, [numbers[id(member)] for member in members], folder))
    if rows:
        body.append(_grid(rows, evaluations, folder))
    datasets = list(dict.fromkeys(evaluation.dataset for evaluation in evaluations))
    page = PAGE.substitute(
        title=escape("Zero-shot segmentation of " + ", ".join(datasets)),
        lead=lead,
        body="\n".join(body),
        footer=provenance_table(evaluations),
    )
    path = folder / PAGE_FILE
    write_atomically(path, page.encode())
    return path


def _section(evaluations: Sequence[SavedEvaluation], numbers: Sequence[int], folder: Path) -> str:
    """All about evaluations of one task."""
    first = evaluations[0]
    vocabulary = first.vocabulary
    benchmark = find_benchmark(first.dataset, vocabulary)
    parts = [
        f"<section><h2>{escape(first.dataset)}</h2>",
        f"<p>{_plural(first.images, 'image')}; {len(vocabulary)} classes compete, "
        f"{vocabulary.seen.count(False)} of them unseen.</p>",
        headline_table(evaluations, benchmark),
        *_notes(evaluations, benchmark),
        "<h3>IoU per class</h3>",
    ]
    for evaluation, number in zip(evaluations, numbers):
        if evaluation.iou:
            path = folder / f"per_class_iou_{number}.png"
            title = f"{evaluation.dataset} ({evaluation.label})"
            draw_per_class_iou(evaluation.iou, vocabulary, path, title)
            parts.append(_picture(path, f"IoU per class, {evaluation.label}"))
    if any(evaluation.iou for evaluation in evaluations):
        parts.append(per_class_table(evaluations))
    parts += _absent_classes(evaluations)
    for evaluation, number in zip(evaluations, numbers):
        parts.append(f"<h3>What was taken for what, {escape(evaluation.label)}</h3>")
        parts.append(_confusion(evaluation, folder / f"confusion_{number}.png"))
    parts.append("</section>")
    return "\n".join(parts)


def _notes(evaluations: Sequence[SavedEvaluation], benchmark: Benchmark | None) -> list[str]:
    """What a reader has to know about the headline table, as paragraphs."""
    first = evaluations[0]
    notes = []
    if len(evaluations) > 1:
        notes.append("Bold: the best of the evaluations in this table.")
    if benchmark is not None:
        notes.append(
            f"Rows marked “reported” are what the method's source reports on {benchmark.title}; "
            "none of them was measured with this code."
        )
        notes += [f"* {r.method}: {r.note}" for r in benchmark.results if r.note]
        if first.images != benchmark.images:
            notes.append(
                f"The reported numbers are over {benchmark.images} images, these over "
                f"{first.images}: they do not compare."
            )
    labelled = {name for evaluation in evaluations for name in evaluation.iou}
    groups = {
        "seen": [n for n, seen in zip(first.vocabulary.names, first.vocabulary.seen) if seen],
        "unseen": [n for n, seen in zip(first.vocabulary.names, first.vocabulary.seen) if not seen],
    }
    for group, names in groups.items():
        if not labelled.intersection(names):
            notes.append(
                f"No {group} class has ground truth here, so its means and hIoU are missing."
            )
    return [f'<p class="note">{escape(note)}</p>' for note in notes]


def _absent_classes(evaluations: Sequence[SavedEvaluation]) -> list[str]:
    labelled = {name for evaluation in evaluations for name in evaluation.iou}
    names = evaluations[0].vocabulary.names
    absent = [name for name in names if name not in labelled]
    if not absent:
        return []
    return [
        f'<p class="note">{len(absent)} of {len(names)} classes have no ground truth here and take '
        f"part in no mean: {escape(', '.join(absent))}.</p>"
    ]


def _confusion(evaluation: SavedEvaluation, path: Path) -> str:
    if evaluation.conf is None:
        return (
            f"<p>There is no {CONFUSION_FILE} beside this metrics.json: evaluations of earlier "
            "versions did not save the confusion matrix. Evaluate again to see it.</p>"
        )
    if not evaluation.conf[:-1].any():
        return "<p>No pixel has ground truth.</p>"
    title = f"{evaluation.dataset} ({evaluation.label})"
    draw_confusion(evaluation.conf, evaluation.vocabulary, path, title)
    picture = _picture(path, f"confusion matrix, {evaluation.label}")
    return picture + confusion_table(evaluation.conf, evaluation.vocabulary)


def _grid(rows: Sequence[GridRow], evaluations: Sequence[SavedEvaluation], folder: Path) -> str:
    """Photos with their panels; only what stands in a panel's legend is more than a speck."""
    vocabulary = evaluations[0].vocabulary
    several = len(evaluations) > 1
    predicted = [f"prediction, {e.label}" if several else "prediction" for e in evaluations]
    titles = ["photo", "ground truth (grey: not labelled)", *predicted]
    shares = " | ".join(escape(title) for title in ["ground truth", *predicted])
    parts = [
        "<section><h2>Photos</h2>",
        f'<p class="note">Below each photo, percent of the image: {shares}.</p>',
    ]
    for row in rows:
        row.strip().save(folder / f"grid_{row.name}.png")
        parts.append(f'<h3>{escape(row.name)}</h3>\n<div class="panels">')
        for title, panel in zip(titles, row.panels):
            alt = escape(f"{row.name}: {title}")
            source = _jpeg_uri(panel)
            caption = f"<figcaption>{escape(title)}</figcaption>"
            parts.append(f'<figure><img src="{source}" alt="{alt}">{caption}</figure>')
        parts.append('</div>\n<ul class="legend">')
        for entry in row.legend:
            shares = " | ".join(f"{share:.1f}" for share in (entry.ground_truth, *entry.predicted))
            swatch = f'<span class="swatch" style="background:{entry.colour}"></span>'
            parts.append(f"<li>{swatch}{class_name(vocabulary, entry.label)} {shares} %</li>")
        parts.append("</ul>")
    parts.append("</section>")
    return "\n".join(parts)


def _picture(path: Path, text: str) -> str:
    """A PNG of the disk inside the page."""
    data = base64.b64encode(path.read_bytes()).decode()
    image = f'<img src="data:image/png;base64,{data}" alt="{escape(text)}">'
    return f'<figure><div class="wide picture" tabindex="0">{image}</div></figure>'


def _jpeg_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
