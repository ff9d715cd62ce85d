"""`tools/train_clip.py`, `finetune_clip.py` and `train_prompts.py` as a user calls them."""

import json
import math
import runpy
import sys
from pathlib import Path

import pytest
import torch

from zsk.classification.build import build_encoder
from zsk.classification.clip_file import read_clip_file
from zsk.config import default_config
from zsk.data.builtin import register_builtin
from zsk.data.vocabularies import get_vocabulary
from zsk.errors import UserError
from zsk.resources import find_resource
from zsk.safe_load import read_file, save_file


@pytest.mark.slow
def test_train_clip_writes_weights_and_a_report_and_adapts_them(run_program, tmp_path) -> None:
    first, adapted = tmp_path / "new" / "clip.pt", tmp_path / "adapted.safetensors"
    options = ("--tower", "vit", "--steps", 2, "--batch-size", 8, "--scenes", 3, "--text-steps", 2)
    for words in (("--output", first), ("--adapt", first, "--output", adapted)):
        done = run_program("tools/train_clip.py", *words, *options, OMP_NUM_THREADS=1)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "9/9" in done.stderr and "2/2" in done.stderr  # the bars
    assert build_encoder(str(first)).input_size == 64
    report = json.loads(adapted.with_suffix(".json").read_text())
    assert report["steps"] == 2 and report["adapted"] == str(first) and report["tower"] == "vit"
    for group in ("accuracy", "accuracy_seen", "accuracy_unseen"):
        assert 0 <= report[group] <= 100
    assert f"among 32 names: {report['accuracy']:.1f} %" in done.stdout.splitlines()[0]
    # an adapted one encodes texts as before
    before, after = (read_clip_file(file) for file in (first, adapted))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("visual.") for name in changed)
    assert all(name.startswith("visual.") or name == "logit_scale" for name in changed)


def test_the_mean_of_nothing_is_null_in_a_report(checkout) -> None:
    """No photo that measures a fine-tuning shows a class held out: JSON has no NaN."""
    tool = runpy.run_path(str(checkout / "tools" / "finetune_clip.py"))
    found = tool["without_nan"]({"learned": 0.5, "held_out": math.nan})
    assert found == {"learned": 0.5, "held_out": None}


def test_unseen_classes_that_a_fine_tuning_learns_are_told(checkout, capsys) -> None:
    tool = runpy.run_path(str(checkout / "tools" / "finetune_clip.py"))
    register_builtin()
    cfg = default_config()
    cfg.DATASETS.TEST = ("voc_zs_val",)
    for name in ("voc_zs_train", "voc_supervised_train"):
        cfg.DATASETS.TRAIN = (name,)
        tool["warn_of_unseen"](cfg, get_vocabulary(name).seen_only())
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "learns 5 classes that are unseen in voc_zs_val, such" in told


CLIP = ("train_clip", ())
FINETUNE = ("finetune_clip", ("--config-file", "none.yaml"))
PROMPTS = ("train_prompts", ("--config-file", "none.yaml"))


@pytest.mark.parametrize(
    ("tool", "flags", "message"),
    [
        (CLIP, ("--steps", "0"), "--steps is 0: give 1 or more"),
        (CLIP, ("--seed", "-1"), "--seed is -1: give 0 or more"),
        (CLIP, ("--lr", "nan"), "--lr is nan: give a number over 0"),
        (CLIP, ("--adapt", "none.pt"), "there is no file none.pt: give one that"),
        (CLIP, ("--adapt", "file"), "file cannot be read"),
        (CLIP, ("--adapt", "./file", "--output", "file"), "--output file is the CLIP to start"),
        (CLIP, ("--output", "clip.json"), "clip.json ends as the report beside it does"),
        (CLIP, ("--output", "."), "it is a folder"),
        (CLIP, ("--output", "file/clip.pt"), "file/clip.pt cannot be written"),
        (FINETUNE, ("--size", "-1"), "--size is -1: give 0 or more"),
        (FINETUNE, ("--held-out", "0"), "--held-out is 0: give 1 or more"),
        (PROMPTS, ("--batch-size", "0"), "--batch-size is 0: give 1 or more"),
        (PROMPTS, ("--lr", "nan"), "--lr is nan: give a number over 0"),
        (PROMPTS, ("--images", "-1"), "--images is -1: give 0 or more"),
        (PROMPTS, ("--seed", "100000000000000000000"), "give a number below"),
        (PROMPTS, ("--output", "."), "give a file"),
    ],
)
def test_a_wrong_call_is_one_line_before_any_work(
    checkout, tmp_path, monkeypatch, capsys, tool, flags, message
) -> None:
    name, needed = tool
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    program = str(checkout / "tools" / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [program, "--output", "out.pt", *needed, *flags])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(program, run_name="__main__")
    error = capsys.readouterr().err
    assert left.value.code == 2 and message in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "there, clip, output, told",
    [
        ("clip.pt", "./clip.pt", "clip.pt", "is the CLIP to start from"),
        ("clip.pt", "openai:clip.pt", "clip.pt", "is the CLIP to start from"),
        ("out.state.pth", "clip.pt", "out.pt", "give --resume, or remove it"),
    ],
)
def test_a_fine_tuning_replaces_nothing_that_a_user_may_want(
    checkout, tmp_path, monkeypatch, capsys, there, clip, output, told
) -> None:
    """The CLIP to start from, and the state of a training that was stopped."""
    monkeypatch.chdir(tmp_path)
    Path(there).write_text("kept")
    program = str(checkout / "tools/finetune_clip.py")
    config = str(checkout / "configs/synthetic/zsk.yaml")
    options = ("--config-file", config, "--output", output, "MODEL.CLIP.NAME", clip)
    monkeypatch.setattr(sys, "argv", [program, *options])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(program, run_name="__main__")
    error = capsys.readouterr().err
    assert left.value.code == 2 and told in error and Path(there).read_text() == "kept"


def test_a_fine_tuning_says_that_it_replaces_a_file(
    checkout, tiny_clip, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out.pt").touch()
    program = str(checkout / "tools/finetune_clip.py")
    config = str(checkout / "configs/synthetic/zsk.yaml")
    options = ("--config-file", config, "--output", "out.pt", "MODEL.CLIP.NAME", str(tiny_clip))
    monkeypatch.setattr(sys, "argv", [program, *options])
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))  # no photos: it ends there
    with pytest.raises(SystemExit):
        runpy.run_path(program, run_name="__main__")
    assert "out.pt is there already and will be replaced\n" in capsys.readouterr().err


def test_the_proposals_of_no_head_are_refused(checkout) -> None:
    tool = runpy.run_path(str(checkout / "tools" / "finetune_clip.py"))
    with pytest.raises(UserError, match="MODEL.WEIGHTS is empty.*--proposals segments"):
        tool["load_proposer"](default_config(), "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_an_exported_checkpoint_keeps_the_weights_and_the_settings_of_its_training(
    checkout, tmp_path, monkeypatch, capsys, suffix
) -> None:
    config = find_resource("configs/embedded/zsk_lite2.yaml")
    state = read_file(config.with_suffix(".pth"))["model"]
    trained = {"trainer": {"settings": {"MODEL.PIXEL_STD": [1.0]}, "optimizer": torch.ones(9)}}
    save_file(tmp_path / "a.pth", {"model": state, **trained})
    files = ("--weights", str(tmp_path / "a.pth"), "--output", str(tmp_path / f"b{suffix}"))
    program = str(checkout / "tools" / "export_checkpoint.py")
    monkeypatch.setattr(sys, "argv", [program, "--config-file", str(config), *files])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(program, run_name="__main__")
    assert not left.value.code and "of the frozen backbone left out" in capsys.readouterr().out
    content = read_file(tmp_path / f"b{suffix}")
    assert content.pop("trainer") == {"settings": {"MODEL.PIXEL_STD": [1.0]}}
    written = content.get("model", content)
    assert written.keys() == state.keys()
    assert all(torch.equal(written[key], value) for key, value in state.items())
