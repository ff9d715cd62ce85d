"""How an evaluation is told: tables for the log; metrics.json, counts and a chart for the disk."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from zsk.evaluation.chart import draw_per_class_iou
from zsk.evaluation.metrics import SPLIT_GROUPS
from zsk.vocabulary import Vocabulary

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

HEADLINE_SEEN_ONLY = ("mIoU-seen-only", "pAcc-seen-only", "mAcc-seen-only", "fwIoU-seen-only")
"""The same where only the seen names competed (`zsk.evaluation.metrics.summarise_seen_only`)."""


def tables(
    metrics: Mapping[str, float],
    iou: Mapping[str, float],
    acc: Mapping[str, float],
    vocabulary: Vocabulary,
    groups: tuple[str, str] = SPLIT_GROUPS,
    *,
    seen_only: bool = False,
) -> list[str]:
    """The headline row and the per-class table, as text; "-" where there is no ground truth.

    `seen_only`: the metrics are those of `zsk.evaluation.metrics.summarise_seen_only`.
    """
    keys = HEADLINE_SEEN_ONLY if seen_only else headline(groups)
    overall = tabulate(
        [[percent(metrics, key) for key in keys]],
        headers=keys,
        tablefmt="pipe",
        stralign="right",
        disable_numparse=True,
    )
    rows = [
        [name, groups[0 if seen else 1], percent(iou, name), percent(acc, name)]
        for name, seen in zip(vocabulary.names, vocabulary.seen)
    ]
    per_class = tabulate(
        rows,
        headers=["class", "group", "IoU", "Acc"],
        tablefmt="pipe",
        colalign=("left", "left", "right", "right"),
        disable_numparse=True,  # a class may be called "007"
    )
    return [overall, per_class]


def write_report(
    report: Mapping[str, Any],
    conf: np.ndarray,
    vocabulary: Vocabulary,
    output_dir: str | os.PathLike[str],
    groups: tuple[str, str] = SPLIT_GROUPS,
) -> None:
    """Write `metrics.json`, `confusion.npy` and, where a class has ground truth, the bar chart.

    The same results give the same bytes in the first two: keys sorted, no time, no path.

    Args:
        report: what the evaluator knows; the vocabulary's "classes" and "unseen" are added.
        conf: (K+1,K+1) int64 confusion matrix of the whole evaluation.
        vocabulary: the joint one, K classes.
        output_dir: made where it is missing.
        groups: what the seen and the unseen classes are called.
    """
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    # classes without ground truth have no IoU: only these two tell what competed
    unseen = [name for name, seen in zip(vocabulary.names, vocabulary.seen) if not seen]
    whole = {**report, "classes": list(vocabulary.names), "unseen": unseen}
    text = json.dumps(whole, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_atomically(folder / METRICS_FILE, text.encode())
    matrix = io.BytesIO()
    np.save(matrix, conf, allow_pickle=False)
    write_atomically(folder / CONFUSION_FILE, matrix.getvalue())
    if report["IoU"]:
        draw_per_class_iou(
            report["IoU"], vocabulary, folder / "per_class_iou.png", report["dataset"], groups
        )


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that `path` holds either all of it or what it held before."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, path)


def percent(values: Mapping[str, float], key: str) -> str:
    """Two decimals, "-" where there is no such number."""
    return f"{values[key]:.2f}" if key in values else "-"
