"""`train_net.py` with the configurations of the systems that ZSK-Net is compared with."""

import json
from pathlib import Path

import pytest
import torch

from zsk.load import load_config  # isort: skip  (before Detectron2's models)
from detectron2.modeling import build_backbone

SMALL = {
    "NUM_QUERIES": 8,
    "DIM": 32,
    "NUM_LAYERS": 2,
    "DIM_FEEDFORWARD": 32,
    "CONV_DIM": 32,
    "MASK_DIM": 32,
}

START = {"MODEL.SYNTHESIS.START": 1}  # of two iterations


@pytest.fixture
def train(run_program, voc_root, small_options, tiny_options, tmp_path: Path):
    def run(system: str, *options: object):
        small = [word for key, n in SMALL.items() for word in (f"MODEL.MASK_FORMER.{key}", n)]
        small = tiny_options if system == "knet" else [*small_options, *small]
        return run_program(
            "train_net.py",
            *("--config-file", f"configs/voc-11k-15/{system}_R101_bs8_40k.yaml", "--num-gpus", 1),
            *(*small, "SOLVER.MAX_ITER", 2, "OUTPUT_DIR", tmp_path, *options),
            DETECTRON2_DATASETS=voc_root,
        )

    return run


@pytest.mark.slow
def test_zs_maskformer_trains_and_is_evaluated_on_seen_and_unseen_classes(
    train, tmp_path: Path
) -> None:
    done = train("zs_maskformer")
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads((tmp_path / "inference" / "voc_zs_val" / "metrics.json").read_text())
    assert {"mIoU-seen", "mIoU-unseen", "hIoU"} <= set(report["metrics"])


def calm_weights(config_file: str, folder: Path) -> Path:
    """Random weights of the backbone, whose blocks add nothing: frozen norms do not tame them."""
    weights = build_backbone(load_config(config_file, ["MODEL.DEVICE", "cpu"])).state_dict()
    for name, value in weights.items():
        if name.endswith("conv3.norm.weight"):
            value.zero_()
    torch.save(
        {"model": {f"backbone.{key}": value for key, value in weights.items()}}, folder / "r.pth"
    )
    return folder / "r.pth"


@pytest.mark.slow
@pytest.mark.parametrize(
    "config, own",
    [
        ("spnet_R101_bs10_20k", {}),
        ("zs3_R101_bs8_60k", START),
        ("cagnet_R101_bs8_46k", START),
        ("sign_R101_bs8_46k", START),
        ("joem_R101_bs24_22k", {}),
    ],
)
def test_deeplab_v2_as_configured_on_photos(
    run_program, real_data: Path, empty_catalogs, tmp_path: Path, config: str, own: dict[str, int]
) -> None:
    """ResNet-101 at stride 8 from `calm_weights`; two of the photos are evaluated."""
    voc = tmp_path / "VOC2012"
    voc.mkdir()
    for folder in ("JPEGImages", "SegmentationClassAug"):
        (voc / folder).symlink_to(real_data / "VOC2012" / folder)
    for name, count in (("train", 8), ("val", 2)):
        stems = (real_data / "VOC2012" / f"{name}.txt").read_text().split()[:count]
        (voc / f"{name}.txt").write_text("\n".join(stems) + "\n")
    assert run_program("datasets/prepare_voc.py", "--root", voc).returncode == 0
    file = f"configs/voc-11k-15/{config}.yaml"
    options = {
        "MODEL.WEIGHTS": calm_weights(file, tmp_path),
        "MODEL.CLIP.NAME": "embedded",  # MiniLM
        "DATALOADER.NUM_WORKERS": 0,
        "SOLVER.IMS_PER_BATCH": 2,
        "SOLVER.MAX_ITER": 2,
        "OUTPUT_DIR": tmp_path / "output",
        **own,
    }
    done = run_program(
        *("train_net.py", "--config-file", file),
        *(word for pair in options.items() for word in pair),
        DETECTRON2_DATASETS=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = tmp_path / "output" / "inference" / "voc_zs_val" / "metrics.json"
    assert json.loads(report.read_text())["images"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("system", ["maskformer", "knet"])
def test_a_linear_classifier_on_another_number_of_classes_is_one_sentence(train, system) -> None:
    done = train(system, "DATASETS.TRAIN", '("voc_zs_train",)')
    assert done.returncode == 2
    assert "NUM_CLASSES 20, but the vocabulary has 15 classes" in done.stderr
    assert "Traceback" not in done.stderr
