"""`train_net.py` with the configurations of the systems that ZSK-Net is compared with."""

import json
from pathlib import Path

import pytest
import torch

from zsk.load import load_config  # isort: skip  (before Detectron2's models)
from detectron2.modeling import build_backbone

START = {"MODEL.SYNTHESIS.START": 1}  # of two iterations


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
    run_program,
    train_net,
    real_data: Path,
    tmp_path: Path,
    config: str,
    own: dict[str, int],
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
    train_net(file, *(word for pair in options.items() for word in pair), data=tmp_path)
    report = tmp_path / "output" / "inference" / "voc_zs_val" / "metrics.json"
    assert json.loads(report.read_text())["images"] == 2
