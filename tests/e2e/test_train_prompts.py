"""`tools/train_prompts.py` as a user runs it, and its prompts in a model trained without them."""

import json
import re
from pathlib import Path

import pytest

from zsk.safe_load import read_file

CONFIG = "configs/voc-11k-15/zsk_R101_bs8_40k.yaml"
TOOL = "tools/train_prompts.py"
METRICS = Path("inference") / "voc_zs_val" / "metrics.json"


@pytest.fixture(scope="module")
def trained(run_program, voc_root, tiny_options, tmp_path_factory):
    output = tmp_path_factory.mktemp("prompts") / "prompts.safetensors"
    arguments = ("--config-file", CONFIG, "--output", output, "--steps", 5, "--lr", 0.01)
    done = run_program(TOOL, *arguments, *tiny_options, DETECTRON2_DATASETS=voc_root)
    assert done.returncode == 0, done.stderr[-2000:]
    return output, done


def test_it_reports_both_accuracies(trained):
    output, done = trained
    lines = done.stdout.splitlines()
    # persons and cats of four images, which may hide one another; the sheep is unseen
    assert 4 <= int(re.match(r"(\d+) segments of 15 seen classes", lines[0])[1]) <= 8
    for line, prompt in zip(lines[1:3], ("single", "learned")):
        assert re.fullmatch(rf"accuracy with prompt {prompt} +\d+\.\d %", line)
    assert re.fullmatch(rf"loss [\d.]+ at the first step, .*: {re.escape(str(output))}", lines[3])
    content = read_file(output)
    assert content["prefix"].shape == (4, 64) and content["suffix"].shape == (1, 64)
    assert "person" in content["trained_on"] and "sheep" not in content["trained_on"]


@pytest.mark.slow
def test_another_prompt_at_evaluation_only(trained, train_net, tiny_options, tmp_path):
    """A checkpoint that was trained with the prompt single is evaluated with learned ones."""
    first, second = tmp_path / "single", tmp_path / "learned"
    train_net(CONFIG, *tiny_options, "SOLVER.MAX_ITER", 1, "OUTPUT_DIR", first)
    learned = ("MODEL.CLIP.PROMPT", "learned", "MODEL.CLIP.PROMPT_WEIGHTS", trained[0])
    weights = ("MODEL.WEIGHTS", first / "model_final.pth")
    train_net(CONFIG, "--eval-only", *tiny_options, *weights, *learned, "OUTPUT_DIR", second)
    assert json.loads((second / METRICS).read_text())["images"] == 2
    assert "learned" in (second / "config.yaml").read_text()
