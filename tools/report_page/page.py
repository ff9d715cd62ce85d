"""One HTML page about one or several evaluations, with every picture inside it and as a PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image
from report_page.confusion import draw_confusion
from report_page.photo_grid import GridRow
from report_page.reported import find_benchmark
from report_page.saved import SavedEvaluation
from report_page.tables import (
    class_name,
    confusion_table,
    headline_table,
    per_class_table,
    provenance_table,
)

from zsk.evaluation.chart import draw_per_class_iou
from zsk.evaluation.report import CONFUSION_FILE, write_atomically
from zsk.files import replacing
from zsk.protocol import INDUCTIVE

PAGE_FILE = "report.html"


def write_page(
    evaluations: Sequence[SavedEvaluation], rows: Sequence[GridRow], folder: Path, today: str
) -> Path:
    """Write report.html and its pictures; the same arguments give the same page.

    Evaluations of different data sets, numbers of images, vocabularies or protocols get sections of
    their own: only what can be compared stands in one table.

    Args:
        evaluations: at least one.
        rows: photos whose panels are photo, ground truth, then one prediction per evaluation.
        folder: exists; gets the page, per_class_iou_<n>.png, confusion_<n>.png (n counts
            evaluations from 1) and grid_<n>_<name>.png (n counts photos).
        today: the date that the page carries.
    """
    tasks: dict[object, list[tuple[int, SavedEvaluation]]] = {}
    for numbered in enumerate(evaluations, start=1):
        tasks.setdefault(numbered[1].task, []).append(numbered)
    for number, row in enumerate(rows, start=1):  # numbered: a/b and a_b are one file name
        file_name = f"grid_{number}_{row.name.replace('/', '_')}.png"
        with replacing(folder / file_name) as unfinished:
            row.strip().save(unfinished)
    several = len(evaluations) > 1
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(jpeg=_jpeg)
    page = environment.get_template("page.html.j2").render(
        title="Zero-shot segmentation of " + ", ".join({e.dataset: None for e in evaluations}),
        today=today,
        sections=[_section(members, folder) for members in tasks.values()],
        confusion_file=CONFUSION_FILE,
        photos=rows,
        predicted=[f"prediction, {e.label}" if several else "prediction" for e in evaluations],
        class_name=lambda label: class_name(evaluations[0], label),
        provenance=provenance_table(evaluations),
    )
    write_atomically(folder / PAGE_FILE, page.encode())
    return folder / PAGE_FILE


def _section(numbered: Sequence[tuple[int, SavedEvaluation]], folder: Path) -> dict[str, Any]:
    """All about evaluations of one task; draws their charts."""
    evaluations = [evaluation for _, evaluation in numbered]
    vocabulary = evaluations[0].vocabulary
    benchmark = find_benchmark(evaluations[0].dataset, vocabulary)
    if evaluations[0].protocol != INDUCTIVE:  # the reported numbers are inductive ones
        benchmark = None
    per_class = per_class_table(evaluations)
    labelled = {row.name for row in per_class.rows}
    return {
        "members": [_member(evaluation, number, folder) for number, evaluation in numbered],
        "benchmark": benchmark,
        "headline": headline_table(evaluations, benchmark),
        "per_class": per_class,
        "groups": {row.cells[0] for row in per_class.rows},
        "absent": [name for name in vocabulary.names if name not in labelled],
    }


def _member(evaluation: SavedEvaluation, number: int, folder: Path) -> dict[str, Any]:
    """An evaluation with its charts and confusions, as far as it has ground truth."""
    vocabulary, conf = evaluation.vocabulary, evaluation.conf
    member: dict[str, Any] = {"evaluation": evaluation, "chart": None, "matrix": None}
    title = f"{evaluation.dataset} ({evaluation.label})"
    if evaluation.iou:
        path = folder / f"per_class_iou_{number}.png"
        draw_per_class_iou(evaluation.iou, vocabulary, path, title, evaluation.groups)
        member["chart"] = _uri("png", path.read_bytes())
    if conf is not None and conf[:-1].any():
        path = folder / f"confusion_{number}.png"
        draw_confusion(conf, vocabulary, path, title)
        member["matrix"] = _uri("png", path.read_bytes())
        member["confusions"] = confusion_table(conf, evaluation)
    return member


def _jpeg(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return _uri("jpeg", buffer.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()
