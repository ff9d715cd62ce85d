"""Reads what a run of train_net.py left in its folder: scores, costs, and how training went."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zsk.benchmark.plan import Trial
from zsk.benchmark.results import Result
from zsk.errors import UserError
from zsk.evaluation.costs import COSTS_FILE
from zsk.evaluation.metrics import harmonic_mean
from zsk.evaluation.proposal_recall import PROPOSALS_FILE
from zsk.evaluation.report import METRICS_FILE
from zsk.evaluation.saved import read_evaluations
from zsk.vocabulary import Vocabulary

Curve = list[tuple[int, float | None, float | None, float | None]]
"""Points (iteration, hIoU, mIoU-seen, mIoU-unseen), in percent."""

_IOU_PREFIX = "sem_seg/IoU-"


def read_result(trial: Trial) -> Result:
    """The result of a finished trial.

    Seen and unseen are those of the test set's own split, whatever was trained on, so that a fully
    supervised system is scored like the others. Null where a system has no such number.

    Raises:
        UserError: a file of the run is missing or damaged.
    """
    folder = trial.evaluate.folder / "inference"
    saved = read_evaluations([folder / trial.dataset / METRICS_FILE])[0]
    costs = _read_json(folder / COSTS_FILE)
    hiou, seen, unseen = split_scores(saved.iou, trial.vocabulary)
    recall_seen, recall_unseen = _recall(folder / trial.dataset, trial.vocabulary)
    return Result(
        table=trial.row.table,
        system=trial.row.system,
        settings=trial.row.shown_settings,
        seed=trial.seed,
        miou_seen=seen,
        miou_unseen=unseen,
        hiou=hiou,
        pacc=saved.metrics.get("pAcc"),
        proposal_recall_seen=recall_seen,
        proposal_recall_unseen=recall_unseen,
        params=costs["parameters"],
        train_seconds=train_seconds(trial.train.folder) if trial.train else None,
        seconds_per_image=costs["seconds_per_image"],
        iterations=trial.cfg.SOLVER.MAX_ITER if trial.train else None,
        revision=saved.provenance.get("git_revision", "unknown"),
        date=saved.written,
    )


def split_scores(
    iou: Mapping[str, float], vocabulary: Vocabulary
) -> tuple[float | None, float | None, float | None]:
    """hIoU and the mean IoU of the seen and of the unseen classes, None without any such class.

    Args:
        iou: class name → percent, of the classes with ground truth.
        vocabulary: says which classes are seen.
    """
    seen = _mean([iou[name] for name in _group(vocabulary, True) if name in iou])
    unseen = _mean([iou[name] for name in _group(vocabulary, False) if name in iou])
    both = seen is not None and unseen is not None
    return (harmonic_mean(seen, unseen) if both else None), seen, unseen  # type: ignore[arg-type]


def train_seconds(folder: Path) -> float | None:
    """Seconds that the iterations of a training took, without start-up, evaluation and saving.

    Detectron2 logs a median over some iterations, which stands for those since the line before.
    None for a training of one or two iterations, which it does not time.
    """
    total, previous, timed = 0.0, -1, False
    for iteration, line in sorted(_log_lines(folder).items()):
        if "time" in line:
            total += line["time"] * (iteration - previous)
            previous, timed = iteration, True
    return total if timed else None


def learning_curve(trial: Trial) -> Curve:
    """The scores of every evaluation during the training, the one that ended it included."""
    assert trial.train is not None
    last = trial.cfg.SOLVER.MAX_ITER
    curve = []
    for iteration, line in sorted(_log_lines(trial.train.folder).items()):
        iou = {key.removeprefix(_IOU_PREFIX): line[key] for key in line if _IOU_PREFIX in key}
        if iou:
            # the last evaluation is noted after the last iteration, the others under their own
            curve.append((min(iteration + 1, last), *split_scores(iou, trial.vocabulary)))
    return list({point[0]: point for point in curve}.values())


def _log_lines(folder: Path) -> dict[int, dict[str, Any]]:
    """Detectron2's log of numbers by iteration; what a resumed training repeated replaces it."""
    merged: dict[int, dict[str, Any]] = {}
    for line in _lines(folder / METRICS_FILE):
        merged.setdefault(line["iteration"], {}).update(line)
    return merged


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(text)
        except ValueError:
            continue  # cut short when the run was stopped; its iterations were repeated


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): run with another --work") from error


def _recall(folder: Path, vocabulary: Vocabulary) -> tuple[float | None, float | None]:
    """The mean best IoU of proposals over seen and over unseen segments, in percent."""
    path = folder / PROPOSALS_FILE
    if not path.is_file():
        return None, None
    classes = _read_json(path)["classes"]
    groups = (
        [classes[name] for name in _group(vocabulary, seen) if name in classes]
        for seen in (True, False)
    )
    first, second = (
        (
            sum(c["bestIoU"] * c["segments"] for c in group) / sum(c["segments"] for c in group)
            if group
            else None
        )
        for group in groups
    )
    return first, second


def _group(vocabulary: Vocabulary, seen: bool) -> list[str]:
    return [name for name, flag in zip(vocabulary.names, vocabulary.seen) if flag is seen]


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
