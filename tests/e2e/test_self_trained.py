"""`train_net.py` with SELF_TRAINING: resumed exactly, in two processes, told in every report."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from zsk.protocol import INDUCTIVE, TRANSDUCTIVE

CONFIGS = {
    "spnet": "configs/voc-11k-15/spnet_R101_bs10_20k.yaml",
    "zsk": "configs/voc-11k-15/zsk_R101_bs8_40k.yaml",
    "zs3": "configs/voc-11k-15/zs3_R101_bs8_60k.yaml",
    "cagnet": "configs/voc-11k-15/cagnet_R101_bs8_46k.yaml",  # its steps draw random numbers
}
START = {"zs3": 0, "cagnet": 1}
KINDS = {
    "spnet": [
        *("SELF_TRAINING.FILTER", "agreement", "SELF_TRAINING.VIEW_SCALES", "[1.0, 1.5]"),
        *("SELF_TRAINING.ANNEAL", 5.0),
    ],
    "zsk": ["SELF_TRAINING.FILTER", "share", "SELF_TRAINING.AMOUNT", 0.5],
    "zs3": ["SELF_TRAINING.FILTER", "share", "SELF_TRAINING.ANNEAL", 5.0],
    "cagnet": ["SELF_TRAINING.FILTER", "rank", "SELF_TRAINING.AMOUNT", 10.0],
}
REPORT = Path("inference") / "voc_zs_val" / "metrics.json"


@pytest.fixture(scope="module")
def train(train_net, small_options, tiny_options) -> Callable[..., str]:
    """Run train_net.py; returns what it printed."""

    def run(kind: str, output: Path, *arguments: object, **how: int) -> str:
        done = train_net(
            *(CONFIGS[kind], *(tiny_options if kind == "zsk" else small_options)),
            *(("MODEL.SYNTHESIS.START", START[kind]) if kind in START else ()),
            *("SOLVER.CHECKPOINT_PERIOD", 2, "OUTPUT_DIR", output, *arguments),
            **how,
        )
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def teachers(train, tmp_path_factory) -> dict[str, Path]:
    found = {}
    for kind in CONFIGS:
        output = tmp_path_factory.mktemp(kind)
        train(kind, output, "SOLVER.MAX_ITER", 1)
        assert json.loads((output / REPORT).read_text())["protocol"] == INDUCTIVE
        found[kind] = output / "model_final.pth"
    return found


def content(file: Path) -> dict:
    return torch.load(file, weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_training_gives_the_same_bits_and_all_reports_tell(
    train, teachers, tmp_path: Path, kind: str
) -> None:
    teacher, output = teachers[kind], tmp_path / "out"
    options = ["SELF_TRAINING.ENABLED", True, *KINDS[kind], "SOLVER.MAX_ITER", 4]
    printed = train(kind, output, "MODEL.WEIGHTS", teacher, *options)
    assert "voc_zs_val, transductive (self-training on pixels without labels)" in printed
    whole = content(output / "model_final.pth")
    # the teacher is in no checkpoint
    assert whole["model"].keys() == content(teacher)["model"].keys()

    (output / "last_checkpoint").write_text("model_0000001.pth")
    (output / "model_final.pth").unlink()
    printed = train(kind, output, "--resume", "MODEL.WEIGHTS", teacher, *options)
    assert "Starting training from iteration 2" in printed
    assert "settings other than" not in printed and "is not read" not in printed
    again = content(output / "model_final.pth")["model"]
    assert not [key for key in again if not torch.equal(again[key], whole["model"][key])]

    # with a configuration that knows nothing of it
    for name, more in (("evaluated", ["--eval-only"]), ("trained on", ["SOLVER.MAX_ITER", 1])):
        train(kind, tmp_path / name, "MODEL.WEIGHTS", output / "model_final.pth", *more)
        assert json.loads((tmp_path / name / REPORT).read_text())["protocol"] == TRANSDUCTIVE
    settings = content(tmp_path / "trained on" / "model_final.pth")["trainer"]["settings"]
    assert settings["protocol"] == TRANSDUCTIVE and settings["SELF_TRAINING.ENABLED"] is False


@pytest.mark.slow
def test_another_teacher_is_told_and_a_missing_one_is_refused(
    train, teachers, tmp_path: Path
) -> None:
    options = ["SELF_TRAINING.ENABLED", True, "SOLVER.MAX_ITER", 2]
    train("spnet", tmp_path / "out", "MODEL.WEIGHTS", teachers["spnet"], *options)
    other = tmp_path / "out" / "model_final.pth"
    options[-1] = 3
    printed = train("spnet", tmp_path / "out", "--resume", "MODEL.WEIGHTS", other, *options)
    assert "resumed with settings other than the checkpoint's" in printed
    assert f"teacher {settings_of(tmp_path)['teacher']} (was " in printed
    printed = train("spnet", tmp_path / "no", *options, code=2)
    assert "error: no weights are given: give a checkpoint (MODEL.WEIGHTS," in printed
    weights = ("MODEL.WEIGHTS", teachers["zsk"])
    printed = train("spnet", tmp_path / "no", *weights, *options, code=2)
    assert f"error: weights file {teachers['zsk']} lacks" in printed


def settings_of(folder: Path) -> dict:
    return content(folder / "out" / "model_final.pth")["trainer"]["settings"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_label_their_own_images(train, teachers, tmp_path: Path, kind: str) -> None:
    options = ["SELF_TRAINING.ENABLED", True, *KINDS[kind], "SOLVER.MAX_ITER", 2]
    options += ["MODEL.WEIGHTS", teachers[kind]]
    train(kind, tmp_path / "out", *options, processes=2)
    saved = content(tmp_path / "out" / "model_final.pth")
    assert saved["trainer"]["settings"]["processes"] == 2 and saved["iteration"] == 1
    assert all(value.isfinite().all() for value in saved["model"].values())
    assert json.loads((tmp_path / "out" / REPORT).read_text())["protocol"] == TRANSDUCTIVE
