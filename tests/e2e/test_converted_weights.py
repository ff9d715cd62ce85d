"""From published weights to numbers and pictures: convert, evaluate, show."""

import json
import sys
from pathlib import Path

import pytest
import torch
from tiny_clip import make_tiny_clip

sys.path.append(str(Path(__file__).resolve().parents[1] / "tools"))

from published_states import zsseg  # noqa: E402


@pytest.mark.slow
def test_converted_weights_are_evaluated_and_shown(
    run_program, train_net, voc_root, tiny_clip, tmp_path
):
    source, target, output = (tmp_path / name for name in ("published.pth", "ours.pth", "output"))
    torch.save({"model": zsseg(make_tiny_clip().state_dict())}, source)
    done = run_program("tools/convert_weights.py", source, target, "--clip", tiny_clip)
    assert done.returncode == 0, done.stderr
    assert "missing       0" in done.stdout and f"written: {target}" in done.stdout
    config = target.with_suffix(".yaml")
    small = ("MODEL.DEVICE", "cpu", "INPUT.MIN_SIZE_TEST", 64, "DATALOADER.NUM_WORKERS", 0)
    train_net(config, "--eval-only", *small, "OUTPUT_DIR", output)
    report = json.loads((output / "inference" / "voc_zs_val" / "metrics.json").read_text())
    assert report["images"] == 2 and "hIoU" in report["metrics"]
    photo = voc_root / "VOC2012" / "JPEGImages" / "drawn_4.jpg"
    shown = ("--input", photo, "--output", tmp_path / "demo", "--opts", *small[:4])
    done = run_program("demo/demo.py", "--config-file", config, *shown)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "demo" / "drawn_4_overlay.png").is_file()
