"""Reads the files of an evaluation: metrics.json and the confusion matrix beside it.

Letter: K classes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from zsk.errors import UserError
from zsk.evaluation.report import CONFUSION_FILE, METRICS_FILE, groups_of
from zsk.protocol import INDUCTIVE, noted_protocol, short_name
from zsk.vocabulary import Vocabulary

_NUMBERS = ("metrics", "IoU", "Acc")
_KINDS = {"dataset": str, "images": int, "provenance": dict, **dict.fromkeys(_NUMBERS, dict)}
_ADVICE = "give OUTPUT_DIR/inference/<data set>/metrics.json (OUTPUT_DIR's own is a training log)"


@dataclass(frozen=True)
class SavedEvaluation:
    """One metrics.json.

    Attributes:
        label: tells it from the others on a page.
        dataset: the data set's name.
        images: how many images were evaluated.
        vocabulary: of the K names that competed; prompt names are the names.
        metrics, iou, acc: name → percent; classes without ground truth are absent.
        cells: `zsk.evaluation.cells.section_of_cells`, {} where no cells were scored.
        conf: (K+1,K+1) int64, None where no confusion matrix was saved.
        provenance: "git_revision", "versions", "config_hash", …, as far as the file has them.
        protocol: what the model's training used of unseen classes (`zsk.protocol`).
        groups: what the classes of `vocabulary` that are seen, and the others, are called.
        seen_only: the seen names alone competed; `vocabulary` has no others.
        written: the day (UTC) of the file's last change.
    """

    label: str
    dataset: str
    images: int
    vocabulary: Vocabulary
    metrics: dict[str, float]
    iou: dict[str, float]
    acc: dict[str, float]
    cells: dict[str, Any]
    conf: np.ndarray | None
    provenance: dict[str, Any]
    protocol: str
    groups: tuple[str, str]
    seen_only: bool
    written: str

    @property
    def task(self) -> tuple[object, ...]:
        """Evaluations compare only where this is equal."""
        return self.dataset, self.images, self.vocabulary, self.groups, self.protocol


def read_evaluations(paths: Sequence[str | os.PathLike[str]]) -> list[SavedEvaluation]:
    """Read several metrics.json, labelled by the part of their folders that tells them apart.

    Raises:
        UserError: naming the file, when one is missing, given twice, or is no evaluation's.
    """
    files = [Path(os.path.abspath(path)) for path in paths]
    for given, file in zip(paths, files):
        if files.count(file) > 1:
            raise UserError(f"{given} is given twice: give each metrics.json once")
    return [_read(Path(path), label) for path, label in zip(paths, _labels(files))]


def _labels(files: list[Path]) -> list[str]:
    """Paths less their common front and back parts; a single file is its folder."""
    if len(files) == 1:
        return [files[0].parent.name]
    stems = {file.stem for file in files}
    paths = [file.parent.parts if len(stems) == 1 else file.with_suffix("").parts for file in files]
    shortest = min(map(len, paths))
    # at least one part stays of the shortest
    front = min(len(os.path.commonprefix(paths)), shortest - 1)
    back = len(os.path.commonprefix([parts[::-1] for parts in paths]))
    back = min(back, shortest - front - 1)
    return ["/".join(parts[front : len(parts) - back]) for parts in paths]


def _read(path: Path, label: str) -> SavedEvaluation:
    try:
        if path.exists() and not path.is_file():
            raise ValueError("not a regular file")
        report = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(report, ensure_ascii=False).encode()  # halves of characters have no code
        written = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).date().isoformat()
        _check(report)
        protocol = noted_protocol(report)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): {_ADVICE}") from error
    except (ValueError, RecursionError, UserError) as error:
        raise UserError(f"{path} is not what an evaluation writes ({error}): {_ADVICE}") from error
    vocabulary = _vocabulary(report, path)
    for key in ("IoU", "Acc"):
        foreign = sorted(report[key].keys() - set(vocabulary.names))
        if foreign:
            raise UserError(f"{path} has an {key} of {foreign[0]!r}, which is none of its classes")
    return SavedEvaluation(
        label=label if protocol == INDUCTIVE else f"{label} ({short_name(protocol)})",
        dataset=report["dataset"],
        images=report["images"],
        vocabulary=vocabulary,
        metrics=report["metrics"],
        iou=report["IoU"],
        acc=report["Acc"],
        cells=report.get("cells", {}),
        conf=_read_confusion(path, len(vocabulary)),
        provenance=report["provenance"],
        protocol=protocol,
        groups=groups_of(report),
        seen_only=report.get("vocabulary") == "seen",
        written=written,
    )


def _check(report: Any) -> None:
    """Raise a ValueError that says what is wrong with the file's form."""
    if not isinstance(report, dict):
        raise ValueError("it holds no table of keys")
    for key, kind in _KINDS.items():
        if key not in report:
            raise ValueError(f"it has no {key!r}")
        if not isinstance(report[key], kind):
            raise ValueError(f"its {key!r} is of another kind")
    for key in _NUMBERS:
        _check_numbers(report[key], key)
    cells = report.get("cells", {"stride": 1, "metrics": {}, "differences": {}})
    if not isinstance(cells, dict) or type(cells.get("stride")) is not int:
        raise ValueError("its 'cells' is of another kind")
    _check_numbers(cells.get("metrics"), "cells")
    _check_numbers(cells.get("differences"), "cells", least=-100)


def _check_numbers(numbers: Any, key: str, least: float = 0) -> None:
    if not isinstance(numbers, dict):
        raise ValueError(f"its {key!r} is of another kind")
    for name, value in numbers.items():
        if type(value) not in (int, float) or not least <= value <= 100:
            raise ValueError(f"{name!r} in its {key!r} is no percentage")


def _vocabulary(report: dict[str, Any], path: Path) -> Vocabulary:
    if "classes" not in report or "unseen" not in report:
        raise UserError(
            f"{path} does not say which of its classes are unseen, as files of earlier versions: "
            "evaluate again"
        )
    try:
        if not isinstance(report["classes"], list) or not isinstance(report["unseen"], list):
            raise TypeError("no lists")
        classes, unseen = tuple(report["classes"]), set(report["unseen"])
        if not unseen <= set(classes):
            raise UserError(f"unseen {min(unseen - set(classes))!r} is no class")
        return Vocabulary(classes, classes, tuple(name not in unseen for name in classes))
    except (TypeError, AttributeError, UserError) as error:
        raise UserError(f"{path} has broken 'classes' or 'unseen' ({error})") from error


def _read_confusion(metrics: Path, num_classes: int) -> np.ndarray | None:
    path = metrics.with_name(CONFUSION_FILE)
    # several renamed copies may lie in one folder, and the matrix belongs to one of them
    if metrics.name != METRICS_FILE or not path.exists():
        return None
    try:
        conf = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read ({error}): evaluate again") from error
    size = num_classes + 1
    if conf.shape != (size, size) or conf.dtype != np.int64:
        raise UserError(
            f"{path} holds {conf.dtype} of shape {conf.shape} instead of int64 of shape "
            f"{(size, size)}: evaluate again"
        )
    return conf
