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

MASKS = """
name: drawn
train: {images: all/train, labels: all/train}
val: {images: all, labels: all, file_list: val_list.txt}
classes: [person]
label_values: {person: 255}
label_suffix: _mask.png
sub_folders: yes
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
def train(train_net, own_data: Path, tiny_options: list[str]):
    def run(*options: object, code: int = 0):
        line = (own_data / "train.yaml", *tiny_options, "SOLVER.MAX_ITER", 1)
        return train_net(*line, "OUTPUT_DIR", own_data / "out", *options, code=code)

    return run


def test_it_trains_and_evaluates(train, own_data: Path) -> None:
    train()
    assert (own_data / "out" / "model_final.pth").is_file()
    report = json.loads((own_data / "out" / "inference" / "drawn_val" / "metrics.json").read_text())
    assert report["images"] == 2
    assert report["IoU"].keys() == {"sheep", "person", "cat"}
    assert {"mIoU-seen", "mIoU-unseen", "hIoU"} <= report["metrics"].keys()
    log = (own_data / "out" / "log.txt").read_text()
    assert "start-up check of drawn_train: 4 photos have a label" in log
    assert "start-up check of drawn_val: 2 photos have a label" in log


@pytest.mark.slow
def test_one_class_of_masks_in_sub_folders_and_a_damaged_photo(train, own_data: Path) -> None:
    """WebP photos beside their masks of 0 and 255, nothing unseen, one training photo cut off."""
    for i in range(6):
        label = Image.open(own_data / "SegmentationClassAug" / f"drawn_{i}.png")
        folder = own_data / "all" / ("train" if i < 4 else "val")
        folder.mkdir(parents=True, exist_ok=True)
        label.point(lambda value: 255 * (value == 15)).save(folder / f"{i}_mask.png")
        Image.open(own_data / "JPEGImages" / f"drawn_{i}.jpg").save(folder / f"{i}.webp")
    damaged = own_data / "all" / "train" / "2.webp"
    damaged.write_bytes(damaged.read_bytes()[:200])
    (own_data / "split.yaml").write_text(MASKS)
    (own_data / "val_list.txt").write_text("val/4\nval/5\n")
    options = {"DATALOADER.SKIP_UNREADABLE": 0.25, "SOLVER.IMS_PER_BATCH": 4}
    options |= {"TEST.DUMP": "['png']"}
    train(*[word for pair in options.items() for word in pair])
    out = own_data / "out"
    report = json.loads((out / "inference" / "drawn_val" / "metrics.json").read_text())
    # the only name gets every pixel
    assert report["IoU"] == {"person": 100.0} and report["images"] == 2
    assert report["metrics"].keys() == {"mIoU", "pAcc", "mAcc", "fwIoU"}
    assert (out / "inference" / "drawn_val" / "predictions" / "val" / "5.png").is_file()
    assert "1 of 4 training images cannot be read" in (out / "log.txt").read_text()


def test_wrong_data_stop_it_with_one_sentence(train, own_data: Path) -> None:
    """Also those that only the evaluation after training would read."""
    Image.new("RGB", (64, 48)).save(own_data / "SegmentationClassAug" / "drawn_5.png")
    done = train(code=2)
    assert "Traceback" not in done.stderr + done.stdout
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "'drawn_val' failed the check at start-up" in error
    assert "drawn_5.png holds colours" in error
    assert "Starting training" not in done.stdout + done.stderr
