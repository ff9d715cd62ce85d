"""Reads what a run of train_net.py left in its folder: scores, times, and the learning curve."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmark.accuracy.plan import Trial
from benchmark.accuracy.plots import Curve
from benchmark.accuracy.results import Result
from benchmark.accuracy.runs import LOG_FILE, Job

from zsk.errors import UserError
from zsk.evaluation.metrics import harmonic_mean
from zsk.evaluation.proposal_recall import PROPOSALS_FILE
from zsk.evaluation.report import METRICS_FILE
from zsk.protocol import PROTOCOL, loosest, noted_protocol
from zsk.vocabulary import Vocabulary

_IOU_PREFIX = "sem_seg/IoU-"
# what train_net.py and Detectron2 log; Detectron2 leaves out the first iterations and its hooks
_PARAMETERS = r"([\d,]+) trained parameters"
_TRAINING = r"Overall training speed: .*\(([\d.]+) s / it\)"
_INFERENCE = r"pure compute time: .*\(([\d.]+) s / iter"


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
    train, cfg = trial.train, trial.cfg
    parameters = _logged(train, _PARAMETERS) if train else None
    per_iteration = _logged(train, _TRAINING) if train else None
    per_batch = _logged(trial.evaluate, _INFERENCE)
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
        params=int(parameters) if parameters else None,
        train_seconds=per_iteration * cfg.SOLVER.MAX_ITER if per_iteration else None,
        seconds_per_image=per_batch / cfg.TEST.IMS_PER_BATCH if per_batch else None,
        iterations=cfg.SOLVER.MAX_ITER if train else None,
        revision=report["provenance"].get("git_revision", "unknown"),
        date=datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).date().isoformat(),
        # the report knows of weights that a preparation trained, too
        protocol=loosest(trial.protocol, noted_protocol(report)),
        configuration=trial.configuration,
        device=report["provenance"].get("device", ""),
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


def learning_curve(trial: Trial, protocol: str) -> Curve:
    """The scores of every evaluation during the training, the last one included.

    `protocol` is that of the result.
    """
    assert trial.train is not None
    last = trial.cfg.SOLVER.MAX_ITER
    points = {}
    for iteration, line in sorted(_log_lines(trial.train.folder).items()):
        iou = {key.removeprefix(_IOU_PREFIX): line[key] for key in line if _IOU_PREFIX in key}
        if iou:
            # the last evaluation is noted after the last iteration, the others under their own
            point = min(iteration + 1, last)
            points[point] = (point, *split_scores(iou, trial.vocabulary))
    return {
        "table": trial.row.table,
        "system": trial.row.system,
        "settings": trial.row.shown_settings,
        "seed": trial.seed,
        PROTOCOL: protocol,
        "points": list(points.values()),
    }


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


def _logged(job: Job, pattern: str) -> float | None:
    """The number that a run logged last; None for a training too short to be timed."""
    log = (job.folder / LOG_FILE).read_text(encoding="utf-8", errors="replace")
    found = re.findall(pattern, log)
    return float(found[-1].replace(",", "")) if found else None


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
