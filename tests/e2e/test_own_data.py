"""A split file through `train_net.py`: raw labels, no preparation, and the check at start-up."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

CONFIG = """
_BASE_: {base}
DATASETS:
  SPLIT_FILE: split.yaml
  TRAIN: ("drawn_train",)
  TEST: ("drawn_val",)
"""
# VOC's raw values, 0 for the background among them (see conftest.py)
SPLIT = """
name: drawn
train: {images: JPEGImages, labels: SegmentationClassAug, file_list: train.txt}
val: {images: JPEGImages, labels: SegmentationClassAug, file_list: val.txt}
classes: [sheep, person, cat]
unseen: [sheep]
label_values: {person: 15, cat: 8, sheep: 17}
"""


@pytest.fixture
def own_data(voc_root: Path, tmp_path: Path, checkout: Path) -> Path:
    """A folder with photos, raw labels, lists, split.yaml and train.yaml."""
    folder = tmp_path / "own"
    shutil.copytree(voc_root / "VOC2012", folder, ignore=shutil.ignore_patterns("zsk"))
    base = checkout / "configs" / "voc-11k-15" / "zsk_R101_bs8_40k.yaml"
    (folder / "train.yaml").write_text(CONFIG.format(base=base))
    (folder / "split.yaml").write_text(SPLIT)
    return folder


@pytest.fixture
def train(run_program, own_data: Path, tiny_options: list[str]):
    def run():
        return run_program(
            *("train_net.py", "--config-file", own_data / "train.yaml", *tiny_options),
            *("SOLVER.MAX_ITER", 1, "OUTPUT_DIR", own_data / "out"),
        )

    return run


def test_it_trains_and_evaluates(train, own_data: Path) -> None:
    done = train()
    assert done.returncode == 0, done.stderr[-2000:]
    assert (own_data / "out" / "model_final.pth").is_file()
    report = json.loads((own_data / "out" / "inference" / "drawn_val" / "metrics.json").read_text())
    assert report["images"] == 2
    assert report["IoU"].keys() == {"sheep", "person", "cat"}
    assert {"mIoU-seen", "mIoU-unseen", "hIoU"} <= report["metrics"].keys()
    log = (own_data / "out" / "log.txt").read_text()
    assert "start-up check of drawn_train: 4 photos have a label" in log
    assert "start-up check of drawn_val: 2 photos have a label" in log


def test_wrong_data_stop_it_with_one_sentence(train, own_data: Path) -> None:
    """Also those that only the evaluation after training would read."""
    Image.new("RGB", (64, 48)).save(own_data / "SegmentationClassAug" / "drawn_5.png")
    done = train()
    assert done.returncode == 2
    assert "Traceback" not in done.stderr + done.stdout
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "'drawn_val' failed the check at start-up" in error
    assert "drawn_5.png holds colours" in error
    assert "Starting training" not in done.stdout + done.stderr
