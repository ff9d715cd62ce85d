"""Reading a run's files: scores by the test set's own split, times and the learning curve."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchmark.accuracy.outputs import learning_curve, read_result, split_scores
from benchmark.accuracy.plan import Trial
from benchmark.accuracy.rows import Row
from benchmark.accuracy.runs import Job

from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

NAMES = ("cat", "dog", "sheep", "cow")
SPLIT = Vocabulary(NAMES, NAMES, (True, True, False, False))


def test_split_scores_by_hand() -> None:
    iou = {"cat": 80.0, "dog": 40.0, "sheep": 20.0}  # no cow in the ground truth
    # seen (80 + 40) / 2 = 60, unseen 20, hIoU 2 * 60 * 20 / 80 = 30
    assert split_scores(iou, SPLIT) == (pytest.approx(30), 60, 20)
    assert split_scores({"cat": 80.0}, SPLIT) == (None, 80, None)
    assert split_scores({"cat": 80.0, "cow": 0.0}, SPLIT) == (0, 80, 0)


def write_log(folder: Path, *lines: object) -> None:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (folder / "metrics.json").write_text(text + "\n")


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """A finished run of 40 iterations of a system that was trained on all classes."""
    folder = tmp_path / "run"
    inference = folder / "inference" / "set"
    inference.mkdir(parents=True)
    report = {
        "metrics": {"pAcc": 77.0, "mIoU-trained-names": 50.0},
        "IoU": {"cat": 80.0, "dog": 40.0, "sheep": 20.0},
        "provenance": {"git_revision": "abc"},
    }
    (inference / "metrics.json").write_text(json.dumps(report))
    timed = "Total inference pure compute time: 0:00:0{0} ({0}.5 s / iter per device, on 1 devices)"
    speed = "Overall training speed: 37 iterations in 0:01:32 (2.5000 s / it)"
    log = ["1,234 trained parameters", timed.format(9), speed, timed.format(1)]
    (folder / "benchmark.log").write_text("\n".join(log))
    scores = {f"sem_seg/IoU-{name}": 10.0 for name in ("cat", "sheep")}
    write_log(
        folder,
        {"iteration": 19, "total_loss": 2.0, **scores, "sem_seg/IoU-cat": 90.0},
        '{"iteration": 39, "to',
        {"iteration": 19, **scores},  # stopped and resumed
        {"iteration": 40, **scores, "sem_seg/IoU-cat": 30.0},
        {"iteration": 41, **scores, "sem_seg/IoU-cat": 90.0},  # stopped in its last evaluation
    )
    job = Job("run", "train", folder, Path("train_net.py"), ())
    cfg = SimpleNamespace(
        DATASETS=SimpleNamespace(TEST=("set",)),
        SOLVER=SimpleNamespace(MAX_ITER=40),
        TEST=SimpleNamespace(IMS_PER_BATCH=3),
    )
    row = Row("t", "A", "a.yaml", settings={"X": "{work}/x"}, evaluate={"Y": 1})
    return Trial(row, 7, job, job, cfg, SPLIT)  # type: ignore[arg-type]


def test_result_of_a_supervised_run_is_split_like_the_others(trial: Trial) -> None:
    result = read_result(trial)
    assert (result.miou_seen, result.miou_unseen) == (60, 20)
    assert result.hiou == pytest.approx(30)
    assert (result.table, result.system, result.seed) == ("t", "A", 7)
    assert result.settings == {"X": "{work}/x", "Y": 1}  # no path of this machine
    assert (result.pacc, result.params, result.seconds_per_image) == (77, 1234, 0.5)
    assert (result.train_seconds, result.iterations, result.revision) == (100, 40, "abc")
    assert result.proposal_recall_seen is None


def test_recall_weighs_segments(trial: Trial) -> None:
    """Seen: 1 segment of 90 and 3 of 50 are 240 / 4 = 60; unseen: none."""
    classes = {"cat": {"segments": 1, "bestIoU": 90.0}, "dog": {"segments": 3, "bestIoU": 50.0}}
    (trial.inference / "proposals.json").write_text(json.dumps({"classes": classes}))
    result = read_result(trial)
    assert (result.proposal_recall_seen, result.proposal_recall_unseen) == (60, None)


def test_learning_curve(trial: Trial) -> None:
    curve = learning_curve(trial)
    assert (curve["system"], curve["settings"]["Y"], curve["seed"]) == ("A", 1, 7)
    assert curve["points"] == [
        (20, 10, 10, 10),
        (40, pytest.approx(18), 90, 10),
    ]  # 2 * 90 * 10 / 100


def test_a_missing_file_is_named(trial: Trial) -> None:
    (trial.inference / "metrics.json").unlink()
    with pytest.raises(UserError, match="set/metrics.json cannot be read"):
        read_result(trial)
