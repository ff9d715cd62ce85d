"""How an evaluation is told: tables for the log, metrics.json and a chart for the disk."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

from zsk.evaluation.chart import draw_per_class_iou
from zsk.evaluation.metrics import SPLIT_GROUPS
from zsk.vocabulary import Vocabulary


def headline(groups: tuple[str, str]) -> tuple[str, ...]:
    """Keys of the headline metrics, in the order of the table."""
    first, second = groups
    means = (f"mIoU-{first}", f"mIoU-{second}", "mIoU")
    accuracies = ("pAcc", f"pAcc-{first}", f"pAcc-{second}", "mAcc", "fwIoU")
    return (*(("hIoU",) if groups == SPLIT_GROUPS else ()), *means, *accuracies)


def tables(
    metrics: Mapping[str, float],
    iou: Mapping[str, float],
    acc: Mapping[str, float],
    vocabulary: Vocabulary,
    groups: tuple[str, str] = SPLIT_GROUPS,
) -> list[str]:
    """The headline row and the per-class table, as text; "-" where there is no ground truth."""
    keys = headline(groups)
    overall = tabulate(
        [[_percent(metrics, key) for key in keys]],
        headers=keys,
        tablefmt="pipe",
        stralign="right",
        disable_numparse=True,
    )
    rows = [
        [name, groups[0 if seen else 1], _percent(iou, name), _percent(acc, name)]
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
    vocabulary: Vocabulary,
    output_dir: str | os.PathLike[str],
    groups: tuple[str, str] = SPLIT_GROUPS,
) -> None:
    """Write `metrics.json` and, where a class has ground truth, `per_class_iou.png`.

    The same results give the same bytes in metrics.json: keys sorted, no time, no path.
    """
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_atomically(folder / "metrics.json", text)
    if report["IoU"]:
        draw_per_class_iou(
            report["IoU"], vocabulary, folder / "per_class_iou.png", report["dataset"], groups
        )


def write_atomically(path: Path, text: str) -> None:
    """Write text so that `path` holds either all of it or what it held before."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _percent(values: Mapping[str, float], key: str) -> str:
    return f"{values[key]:.2f}" if key in values else "-"
