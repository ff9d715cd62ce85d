"""Reads what a run of train_net.py left in its folder: scores, times, and the learning curve."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmark.accuracy.plan import Trial
from benchmark.accuracy.results import Result
from benchmark.accuracy.runs import LOG_FILE

from zsk.errors import UserError
from zsk.evaluation.metrics import harmonic_mean
from zsk.evaluation.proposal_recall import PROPOSALS_FILE
from zsk.evaluation.report import METRICS_FILE
from zsk.vocabulary import Vocabulary

Curve = list[tuple[int, float | None, float | None, float | None]]
"""Points (iteration, hIoU, mIoU-seen, mIoU-unseen), in percent."""

_IOU_PREFIX = "sem_seg/IoU-"
_PARAMETERS = r"([\d,]+) trained parameters"  # train_net.py
_SECONDS = r"pure compute time: .*\(([\d.]+) s / iter"  # Detectron2, first iterations left out


def read_result(trial: Trial) -> Result:
    """The result of a finished trial; None where a system has no such number.

    Seen and unseen are those of the test set's own split, whatever was trained on, so that a fully
    supervised system is scored like the others.

    Raises:
        UserError: a file of the run is missing or damaged.
    """
    path = trial.inference / METRICS_FILE
    report = _read_json(path)
    hiou, seen, unseen = split_scores(report["IoU"], trial.vocabulary)
    recall_seen, recall_unseen = _recall(trial.inference / PROPOSALS_FILE, trial.vocabulary)
    seconds = _logged(trial.evaluate.folder, _SECONDS)
    parameters = _logged(trial.train.folder, _PARAMETERS) if trial.train else None
    return Result(
        table=trial.row.table,
        system=trial.row.system,
        settings=trial.row.shown_settings,
        seed=trial.seed,
        miou_seen=seen,
        miou_unseen=unseen,
        hiou=hiou,
        pacc=report["metrics"].get("pAcc"),
        proposal_recall_seen=recall_seen,
        proposal_recall_unseen=recall_unseen,
        params=int(parameters.replace(",", "")) if parameters else None,
        train_seconds=train_seconds(trial.train.folder) if trial.train else None,
        seconds_per_image=float(seconds) / trial.cfg.TEST.IMS_PER_BATCH if seconds else None,
        iterations=trial.cfg.SOLVER.MAX_ITER if trial.train else None,
        revision=report["provenance"].get("git_revision", "unknown"),
        date=datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).date().isoformat(),
    )


def split_scores(
    iou: Mapping[str, float], vocabulary: Vocabulary
) -> tuple[float | None, float | None, float | None]:
    """hIoU and the mean IoU of the seen and of the unseen classes, None without any such class.

    Args:
        iou: class name → percent, of the classes with ground truth.
        vocabulary: says which classes are seen.
    """
    seen, unseen = (_mean((value, 1) for value in group) for group in _groups(iou, vocabulary))
    hiou = None if seen is None or unseen is None else harmonic_mean(seen, unseen)
    return hiou, seen, unseen


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
    """The scores of every evaluation during the training, the last one included."""
    assert trial.train is not None
    last = trial.cfg.SOLVER.MAX_ITER
    curve = {}
    for iteration, line in sorted(_log_lines(trial.train.folder).items()):
        iou = {key.removeprefix(_IOU_PREFIX): line[key] for key in line if _IOU_PREFIX in key}
        if iou:
            # the last evaluation is noted after the last iteration, the others under their own
            point = min(iteration + 1, last)
            curve[point] = (point, *split_scores(iou, trial.vocabulary))
    return list(curve.values())


def _log_lines(folder: Path) -> dict[int, dict[str, Any]]:
    """Detectron2's log of numbers by iteration; what a resumed training repeated replaces it."""
    merged: dict[int, dict[str, Any]] = {}
    for text in (folder / METRICS_FILE).read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue  # cut short when the run was stopped; its iterations were repeated
        merged.setdefault(line["iteration"], {}).update(line)
    return merged


def _logged(folder: Path, pattern: str) -> str | None:
    """The pattern's group where it occurs last in a run's log."""
    log = (folder / LOG_FILE).read_text(encoding="utf-8", errors="replace")
    found = re.findall(pattern, log)
    return found[-1] if found else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): run with another --work") from error


def _recall(path: Path, vocabulary: Vocabulary) -> tuple[float | None, float | None]:
    """The mean best IoU of proposals over seen and over unseen segments, in percent."""
    classes = _read_json(path)["classes"] if path.is_file() else {}
    seen, unseen = (
        _mean((c["bestIoU"], c["segments"]) for c in group)
        for group in _groups(classes, vocabulary)
    )
    return seen, unseen


def _groups(values: Mapping[str, Any], vocabulary: Vocabulary) -> list[list[Any]]:
    """The values of the seen classes, and those of the unseen ones."""
    classes = list(zip(vocabulary.names, vocabulary.seen))
    return [
        [values[name] for name, flag in classes if flag is seen and name in values]
        for seen in (True, False)
    ]


def _mean(weighted: Iterable[tuple[float, int]]) -> float | None:
    """The mean of (value, weight); None of nothing."""
    pairs = list(weighted)
    total = sum(weight for _, weight in pairs)
    return sum(value * weight for value, weight in pairs) / total if pairs else None
