"""`train_net.py` as a user runs it: train and evaluate."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from zsk.engine.trainer import Trainer

CONFIG = "configs/voc-11k-15/zsk_R101_bs8_40k.yaml"
METRICS = Path("inference") / "voc_zs_val" / "metrics.json"


@pytest.fixture(scope="module")
def train(train_net, tiny_options):
    def run(output: Path, *arguments: object) -> None:
        train_net(CONFIG, *tiny_options, "OUTPUT_DIR", output, *arguments)

    return run


@pytest.fixture(scope="module")
def straight(train, tmp_path_factory) -> Path:
    """Four iterations in one go."""
    output = tmp_path_factory.mktemp("straight")
    train(output, "SOLVER.MAX_ITER", 4)
    return output


def test_training_reports_and_says_that_it_runs_on_the_cpu(straight: Path) -> None:
    report = json.loads((straight / METRICS).read_text())
    assert {"mIoU", "mIoU-seen", "mIoU-unseen", "hIoU", "pAcc"} <= set(report["metrics"])
    assert report["images"] == 2
    assert (straight / METRICS).with_name("per_class_iou.png").stat().st_size > 1000
    log = (straight / "log.txt").read_text()
    assert "run on the CPU" in log and "effective batch 2 images" in log
    scalars = [json.loads(line) for line in (straight / "metrics.json").read_text().splitlines()]
    losses = [line for line in scalars if "loss_dice_0" in line]
    assert losses[-1]["iteration"] == 3
    assert any("sem_seg/hIoU" in line for line in scalars)


def test_test_time_options(train, straight: Path, tmp_path: Path) -> None:
    """Averaged views, seen names only, predictions written: beside the zero-shot report's place."""
    train(
        tmp_path,
        *("--eval-only", "MODEL.WEIGHTS", straight / "model_final.pth"),
        *("TEST.PROPOSAL_RECALL", "False", "TEST.VOCABULARY", "seen", "TEST.DUMP", "['png','rle']"),
        *("TEST.AUG.ENABLED", "True", "TEST.AUG.MIN_SIZES", "(32,48)", "TEST.AUG.MAX_SIZE", 64),
        *("SEED", 7),
    )
    assert not (tmp_path / METRICS).exists()
    folder = (tmp_path / METRICS).parent / "seen_only"
    report = json.loads((folder / "metrics.json").read_text())
    assert set(report["metrics"]) == {f"{m}-seen-only" for m in ("mIoU", "pAcc", "mAcc", "fwIoU")}
    assert report["provenance"]["seed"] == 1  # of the training
    assert {path.name for path in (folder / "predictions").iterdir()} == {
        "drawn_4.png",
        "drawn_5.png",
    }
    entries = json.loads((folder / "predictions.json").read_text())
    assert {entry["image_id"] for entry in entries} == {"drawn_4", "drawn_5"}
    unseen = {"pottedplant", "sheep", "sofa", "train", "tvmonitor"}
    assert not unseen & {entry["category"] for entry in entries}


def test_gradients_are_freed_before_the_forward_pass() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.ones(1)
    found = []
    trainer = Trainer.__new__(Trainer)
    trainer.iter = 0
    trainer._trainer = SimpleNamespace(
        optimizer=torch.optim.SGD([weight], lr=1.0), run_step=lambda: found.append(weight.grad)
    )
    trainer.run_step()
    assert found == [None]
