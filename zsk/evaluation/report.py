"""The report of an evaluation: tables for the log; metrics.json, counts and a chart as files.

It says which code and which libraries a number comes from.
"""

from __future__ import annotations

import io
import json
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import detectron2
import numpy as np
from tabulate import tabulate

from zsk.evaluation.cells import rows_of_cells
from zsk.evaluation.chart import draw_per_class_iou
from zsk.evaluation.metrics import NAME_GROUPS, SEEN_ONLY, SPLIT_GROUPS
from zsk.files import replacing
from zsk.protocol import INDUCTIVE, PROTOCOL
from zsk.vocabulary import Vocabulary

_ROOT = Path(__file__).resolve().parents[2]
_LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "pillow")

METRICS_FILE = "metrics.json"
CONFUSION_FILE = "confusion.npy"
"""Beside METRICS_FILE: the (K+1,K+1) int64 matrix of `zsk.evaluation.metrics.confusion_matrix`."""


def headline(groups: tuple[str, str]) -> tuple[str, ...]:
    """Keys of the headline metrics, in the order of the table."""
    first, second = groups
    means = (f"mIoU-{first}", f"mIoU-{second}", "mIoU")
    accuracies = ("pAcc", f"pAcc-{first}", f"pAcc-{second}", "mAcc", "fwIoU")
    return (*(("hIoU",) if groups == SPLIT_GROUPS else ()), *means, *accuracies)


HEADLINE = headline(SPLIT_GROUPS)
"""Keys of a split's headline metrics, most telling first."""

HEADLINE_SEEN_ONLY = tuple(name + SEEN_ONLY for name in ("mIoU", "pAcc", "mAcc", "fwIoU"))
"""The same where only the seen names competed."""


def heading(report: Mapping[str, Any]) -> str:
    """What stands over the tables and the chart of METRICS_FILE's content."""
    dataset, protocol = str(report["dataset"]), report[PROTOCOL]
    return dataset if protocol == INDUCTIVE else f"{dataset}, {protocol}"


def tables(report: Mapping[str, Any]) -> list[str]:
    """The headline table and the per-class table, as text; "-" where there is no ground truth.

    `report`: the content of METRICS_FILE. With cells the headline has a row of pixels, one of cells
    and one of their differences.
    """
    groups, unseen = groups_of(report), set(report["unseen"])
    keys = HEADLINE_SEEN_ONLY if report["vocabulary"] == "seen" else headline(groups)
    if not unseen:  # no zero-shot numbers
        keys = tuple(key for key in keys if key in report["metrics"])
    head, numbers = [*keys], [[percent(report["metrics"], key) for key in keys]]
    if "cells" in report:
        further = rows_of_cells(report["cells"], keys).items()
        head = ["scored", *keys]
        numbers = [["pixels", *numbers[0]], *([name, *row] for name, row in further)]
    rows = [
        [name, groups[name in unseen], percent(report["IoU"], name), percent(report["Acc"], name)]
        for name in report["classes"]
    ]
    form: dict[str, Any] = {"tablefmt": "pipe", "disable_numparse": True}  # a class may be "007"
    sides = ("left", "left", "right", "right")
    return [
        tabulate(numbers, head, stralign="right", **form),
        tabulate(rows, ["class", "group", "IoU", "Acc"], colalign=sides, **form),
    ]


def groups_of(report: Mapping[str, Any]) -> tuple[str, str]:
    """What the seen and the unseen classes of METRICS_FILE's content are called."""
    return NAME_GROUPS if report.get("cross_dataset") else SPLIT_GROUPS


def write_report(
    report: Mapping[str, Any], conf: np.ndarray, vocabulary: Vocabulary, folder: Path
) -> None:
    """Write `metrics.json`, `confusion.npy` and, where a class has ground truth, the bar chart.

    The same results give the same bytes in the first two: keys sorted, no time, no path.

    Args:
        report: the content of `metrics.json`.
        conf: (K+1,K+1) int64 confusion matrix of the whole evaluation.
        vocabulary: the one of the scores, K classes.
        folder: made where it is missing.
    """
    write_json(folder / METRICS_FILE, report)
    matrix = io.BytesIO()
    np.save(matrix, conf, allow_pickle=False)
    write_atomically(folder / CONFUSION_FILE, matrix.getvalue())
    if report["IoU"]:
        chart, groups = folder / "per_class_iou.png", groups_of(report)
        draw_per_class_iou(report["IoU"], vocabulary, chart, heading(report), groups)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file with sorted keys, atomically; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_atomically(path, text.encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that `path` holds either all of it or what it held before."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)


def percent(values: Mapping[str, float], key: str) -> str:
    """Two decimals, "-" where there is no such number."""
    return f"{values[key]:.2f}" if key in values else "-"


def provenance() -> dict[str, Any]:
    """{"git_revision": str, "versions": {library: version}}, the same on every run of one code."""
    versions = {name: _version(name) for name in _LIBRARIES}
    versions["python"] = platform.python_version()
    versions["detectron2"] = detectron2.__version__  # its distribution has several names
    return {"git_revision": git_revision(_ROOT), "versions": versions}


def git_revision(root: Path) -> str:
    """The commit that is checked out in `root`, with "-dirty" after it when tracked files differ.

    "unknown" when `root` is not the top of a git checkout: an installed package may lie inside
    another repository, whose revision would be wrong.
    """
    command = ["git", "-C", str(root), *"describe --always --dirty --abbrev=40 --exclude=*".split()]
    try:
        if (root / ".git").exists():
            return subprocess.run(
                command, capture_output=True, text=True, check=True
            ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # git is missing or refuses
        pass
    return "unknown"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
