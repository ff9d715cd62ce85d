"""`tools/finetune_clip.py` as a user runs it."""

import json
from pathlib import Path

import pytest
import torch

from zsk.classification.build import build_encoder

CONFIG = "configs/voc-11k-15/zsk_R101_bs8_40k.yaml"
TOOL = "tools/finetune_clip.py"


@pytest.fixture(scope="module")
def finetune(run_program, tiny_options, tmp_path_factory):
    def run(root, *more):
        output = tmp_path_factory.mktemp("clip") / "one_pass.pt"
        flags = ("--steps", 2, "--batch-size", 2, "--size", 96, "--held-out", 2, *more)
        arguments = ("--config-file", CONFIG, "--output", output, *flags, *tiny_options)
        done = run_program(TOOL, *arguments, DETECTRON2_DATASETS=root, OMP_NUM_THREADS=1)
        assert done.returncode == 0, done.stderr[-2000:]
        return output, done

    return run


@pytest.fixture(scope="module")
def finetuned(finetune, voc_root):
    return finetune(voc_root)


def test_it_writes_weights_and_a_report(finetuned, tiny_clip):
    output, done = finetuned
    report = json.loads(output.with_suffix(".json").read_text())
    assert report["clip"] == str(tiny_clip) and report["one_pass_size"] == 96
    assert report["steps"] == 2 and report["held_out_regions"] > 4
    for when in ("before", "after"):
        assert -1 <= report[when]["cosine"] <= 1 and 0 <= report[when]["agreement"] <= 1
    first, second, last = done.stdout.splitlines()[-3:]
    assert first.startswith(f"before cosine with crops {report['before']['cosine']:.3f}")
    assert second.startswith(f"after  cosine with crops {report['after']['cosine']:.3f}")
    assert last == f"wrote {output}: MODEL.CLIP.ONE_PASS_SIZE has to be 96"
    assert "2/2" in done.stderr  # the bar
    encoder, original = build_encoder(str(output)), build_encoder(str(tiny_clip))
    names = ["a photo of a cat."]
    difference = encoder.encode_text(names) - original.encode_text(names)
    assert difference.abs().max() < 1e-3
    assert encoder.fingerprint() != original.fingerprint()


def test_proposals_without_their_objective_are_refused(run_program, tmp_path: Path) -> None:
    arguments = ("--config-file", CONFIG, "--output", tmp_path / "x.pt", "--proposals", "head")
    done = run_program(TOOL, *arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "--proposals head has no use with --objective crops" in done.stderr


def test_the_objective_of_masks(finetune, voc_root, tiny_clip):
    """`--resume` without a state starts."""
    output, done = finetune(voc_root, "--objective", "masks", "--proposals", "segments", "--resume")
    report = json.loads(output.with_suffix(".json").read_text())
    assert report["objective"] == "masks" and report["held_out_classes"] == 3  # of 15
    assert 0 <= report["before"]["learned"] <= 1
    assert done.stdout.splitlines()[-2].startswith("after  true segments named right: ")
    assert not list(output.parent.glob("*.state.pth"))
    original, tuned = (torch.load(file, weights_only=True) for file in (tiny_clip, output))
    changed = {name for name in tuned if not torch.equal(tuned[name], original[name].half())}
    assert changed and all(".attn." in name or ".ln_" in name for name in changed)
