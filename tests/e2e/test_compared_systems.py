"""`train_net.py` with the configurations of the systems that ZSK-Net is compared with."""

import json
from pathlib import Path

import pytest

SMALL = {
    "NUM_QUERIES": 8,
    "DIM": 32,
    "NUM_LAYERS": 2,
    "DIM_FEEDFORWARD": 32,
    "CONV_DIM": 32,
    "MASK_DIM": 32,
}


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


@pytest.mark.slow
@pytest.mark.parametrize("system", ["maskformer", "knet"])
def test_a_linear_classifier_on_another_number_of_classes_is_one_sentence(train, system) -> None:
    done = train(system, "DATASETS.TRAIN", '("voc_zs_train",)')
    assert done.returncode == 2
    assert "NUM_CLASSES 20, but the vocabulary has 15 classes" in done.stderr
    assert "Traceback" not in done.stderr
