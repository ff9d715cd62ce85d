"""The compared systems' configurations of the synthetic world: one step, and three scenes."""

import json
import math
from pathlib import Path

import pytest
from prepare_synthetic import render_world

from zsk.errors import UserError

TRAINED = (
    "zsk",
    "zsk_pyramid",
    "zsk_clip",
    "zsk_clip_256",
    "zsk_clip_vit",
    "zs_maskformer",
    "text_fcn",
    "spnet",
    "joem",
    "zs3",
    "cagnet",
    "sign",
    "maskformer",
    "knet",
)
SELF_TRAINED = ("spnet_st", "strict", "zsk_st", "zs_maskformer_st", "cagnet_st", "sign_ast", "zs5")
UNTRAINED = ("per_pixel_clip", "training_free")
SUPERVISED = ("maskformer", "knet")
SCENES = 3


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("datasets")
    render_world(root / "synthetic", limit=SCENES)
    return root


@pytest.fixture
def run(train_here, world: Path, tiny_clip: Path, tmp_path: Path):
    """`zsk train` on a few scenes; gives (losses, report)."""

    def run(system: str, *arguments: str) -> tuple[dict[str, float], dict]:
        options = ("MODEL.CLIP.NAME", tiny_clip, "SOLVER.MAX_ITER", 1, "SOLVER.IMS_PER_BATCH", 2)
        options += ("OUTPUT_DIR", tmp_path)
        train_here(f"configs/synthetic/{system}.yaml", *options, *arguments, data=world)
        report = tmp_path / "inference" / "synthetic_stuff_zs_val" / "metrics.json"
        return losses(tmp_path / "metrics.json"), json.loads(report.read_text())

    return run


def by_cost(system: str) -> object:
    """Slow where another system runs the same parts: kernels, queries, a linear classifier."""
    slow = (
        "zsk_pyramid",
        "zsk_clip_256",
        "zsk_clip_vit",
        "maskformer",
        "zs3",
        "cagnet",
        "sign",
        "joem",
    )
    marks = [pytest.mark.slow] if system in slow else []
    return pytest.param(system, marks=marks)


def losses(log: Path) -> dict[str, float]:
    """Of the only step; {} where nothing was trained."""
    if not log.exists():
        return {}
    step = json.loads(log.read_text().splitlines()[0])
    return {name: value for name, value in step.items() if "loss" in name}


@pytest.mark.parametrize("system", [*map(by_cost, TRAINED)])
def test_a_system_is_trained_and_evaluated(run, system: str) -> None:
    trained, report = run(system)
    assert trained["total_loss"] > 0
    assert all(math.isfinite(value) for value in trained.values()), trained
    assert report["images"] == SCENES
    metrics = report["metrics"]
    assert 0 <= metrics["mIoU"] <= 100
    # trained on all classes, a model has no unseen ones
    assert ("hIoU" in metrics) == (system not in SUPERVISED)


@pytest.mark.slow
def test_scenes_are_evaluated_in_tiles(run) -> None:
    report = run("zsk_small", "TEST.TILES", "64", "TEST.PROPOSAL_RECALL", "False")[1]
    assert report["images"] == SCENES and 0 <= report["metrics"]["hIoU"] <= 100


@pytest.mark.parametrize("system", UNTRAINED)
def test_clip_alone_needs_no_training(run, system: str) -> None:
    trained, report = run(system, "--eval-only")
    assert trained == {}
    assert report["images"] == SCENES and 0 <= report["metrics"]["hIoU"] <= 100
    with pytest.raises(UserError, match="nothing to train in this configuration"):
        run(system)


def test_no_system_is_forgotten(checkout: Path) -> None:
    stems = {path.stem for path in (checkout / "configs" / "synthetic").glob("*.yaml")}
    others = {"Base-synthetic", "tables", "compared", "zsk_small"}  # zsk, smaller
    others |= {"one_network", "one_network_vit"}  # tables
    assert stems == {*TRAINED, *SELF_TRAINED, *UNTRAINED, *others}
