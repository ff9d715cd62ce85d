"""Reading a run's files: scores by the test set's own split, times and the learning curve."""

import json
from pathlib import Path

import pytest
from benchmark.accuracy.outputs import learning_curve, read_result, split_scores
from benchmark.accuracy.plan import Trial
from benchmark.accuracy.rows import Row
from benchmark.accuracy.runs import Job
from detectron2.config import CfgNode

from zsk.errors import UserError
from zsk.protocol import INDUCTIVE, LEAK, TRANSDUCTIVE
from zsk.vocabulary import Vocabulary

NAMES = ("cat", "dog", "sheep", "cow")
SPLIT = Vocabulary(NAMES, NAMES, (True, True, False, False))
IOU = {"cat": 80.0, "dog": 40.0, "sheep": 20.0}  # no cow in the ground truth
LOG = """
1,234 trained parameters
Total inference pure compute time: 0:00:09 (9.5 s / iter per device, on 1 devices)
Overall training speed: 37 iterations in 0:01:32 (2.5000 s / it)
Total inference pure compute time: 0:00:01 (1.5 s / iter per device, on 1 devices)
"""


def test_split_scores_by_hand() -> None:
    # seen (80 + 40) / 2 = 60, unseen 20, hIoU 2 * 60 * 20 / 80 = 30
    assert split_scores(IOU, SPLIT) == (pytest.approx(30), 60, 20)
    assert split_scores({"cat": 80.0}, SPLIT) == (None, 80, None)
    assert split_scores({"cat": 80.0, "cow": 0.0}, SPLIT) == (0, 80, 0)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """A finished run of 40 iterations of a system that was trained on all classes."""
    job = Job("run", "train", tmp_path / "run", Path("train_net.py"), ())
    cfg = CfgNode({"DATASETS": {"TEST": ("set",)}, "SOLVER": {"MAX_ITER": 40}})
    cfg.TEST = CfgNode({"IMS_PER_BATCH": 3})
    row = Row("t", "A", "a.yaml", settings={"X": "{work}/x"}, evaluate={"Y": 1})
    trial = Trial(row, 7, job, job, cfg, SPLIT)  # type: ignore[arg-type]
    trial.inference.mkdir(parents=True)
    report = {"metrics": {"pAcc": 77.0}, "IoU": IOU, "provenance": {"git_revision": "abc"}}
    (trial.inference / "metrics.json").write_text(json.dumps(report))
    (job.folder / "benchmark.log").write_text(LOG)
    cat, sheep = "sem_seg/IoU-cat", "sem_seg/IoU-sheep"
    lines = [
        {"iteration": 19, "total_loss": 2.0, cat: 90.0, sheep: 10.0},
        {"iteration": 19, cat: 10.0, sheep: 10.0},  # stopped and resumed
        {"iteration": 40, cat: 30.0, sheep: 10.0},
        {"iteration": 41, cat: 90.0, sheep: 10.0},  # stopped in its last evaluation
    ]
    text = "\n".join(['{"iteration": 39, "to', *map(json.dumps, lines)])
    (job.folder / "metrics.json").write_text(text + "\n")
    return trial


def test_result_of_a_supervised_run_is_split_like_the_others(trial: Trial) -> None:
    # of recall: seen 1 segment of 90 and 3 of 50, 240 / 4 = 60; unseen none
    classes = {"cat": {"segments": 1, "bestIoU": 90.0}, "dog": {"segments": 3, "bestIoU": 50.0}}
    (trial.inference / "proposals.json").write_text(json.dumps({"classes": classes}))
    result = read_result(trial)
    assert (result.miou_seen, result.miou_unseen) == (60, 20)
    assert (result.proposal_recall_seen, result.proposal_recall_unseen) == (60, None)
    assert result.settings == {"X": "{work}/x", "Y": 1}  # no path of this machine
    assert (result.pacc, result.params, result.seconds_per_image) == (77, 1234, 0.5)
    assert (result.train_seconds, result.iterations, result.revision) == (100, 40, "abc")


@pytest.mark.parametrize(
    "noted, protocol",
    [
        ({}, INDUCTIVE),
        ({"transductive": True}, TRANSDUCTIVE),  # of a time before leaks
        ({"protocol": LEAK}, LEAK),
    ],
)
def test_a_report_that_tells_its_protocol_is_believed(trial: Trial, noted, protocol) -> None:
    path = trial.inference / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **noted}))
    assert read_result(trial).protocol == protocol


def test_learning_curve(trial: Trial) -> None:
    curve = learning_curve(trial, LEAK)
    assert curve["protocol"] == LEAK
    assert curve["points"] == [(20, 10, 10, 10), (40, pytest.approx(18), 90, 10)]  # 2*90*10 / 100


def test_a_missing_file_is_named(trial: Trial) -> None:
    (trial.inference / "metrics.json").unlink()
    with pytest.raises(UserError, match="set/metrics.json cannot be read"):
        read_result(trial)
