"""`train_net.py` with DATASETS.LEAK_UNSEEN_LAYOUT: it learns, and whatever evaluates it tells."""

import json
from pathlib import Path

import pytest

from zsk.data.splits import get_split
from zsk.protocol import LEAK

SPLIT = """
name: leaky
train: {{images: JPEGImages, labels: zsk/train, file_list: train.txt}}
val: {{images: JPEGImages, labels: zsk/val, file_list: val.txt}}
classes: {names}
unseen: {unseen}
"""


@pytest.mark.slow
def test_a_training_with_true_layouts_is_told_in_later_reports(
    train_net, small_options, voc_root: Path, tmp_path: Path
) -> None:
    voc = get_split("voc")
    unseen = [name for name, seen in zip(voc.names, voc.seen) if not seen]
    split = voc_root / "VOC2012" / "leaky.yaml"
    split.write_text(SPLIT.format(names=json.dumps(voc.names), unseen=json.dumps(unseen)))

    def train(output: Path, *arguments: object) -> str:
        done = train_net(
            *("configs/voc-11k-15/zs3_R101_bs8_60k.yaml", *small_options),
            *("DATASETS.SPLIT_FILE", split, "DATASETS.TRAIN", "('leaky_train',)"),
            *("DATASETS.TEST", "('leaky_val',)", "OUTPUT_DIR", output, *arguments),
        )
        return str(done.stdout + done.stderr)

    options = ["MODEL.SYNTHESIS.START", 1, "SOLVER.MAX_ITER", 3]
    told = f"leaky_val, {LEAK}"
    printed = train(tmp_path / "out", "DATASETS.LEAK_UNSEEN_LAYOUT", True, *options)
    assert "THIS IS A LEAK" in printed and told in printed
    # with a configuration that knows nothing of it
    weights = ("MODEL.WEIGHTS", tmp_path / "out" / "model_final.pth")
    printed = train(tmp_path / "again", "--eval-only", *weights)
    assert "THIS IS A LEAK" not in printed and told in printed
    report = tmp_path / "again" / "inference" / "leaky_val" / "metrics.json"
    assert json.loads(report.read_text())["protocol"] == LEAK
