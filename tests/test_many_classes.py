"""300 classes: 16-bit labels from the file through training views, losses, metrics and back."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.utils.env import seed_all_rng
from label_files import write_pairs
from tiny_head import Pixels, colour_net

from zsk.config import default_config
from zsk.data.check import check_at_start
from zsk.data.dataset_mapper import ZeroShotMapper
from zsk.data.label_files import read_label
from zsk.data.register import register_zero_shot_split
from zsk.evaluation.build import build_evaluators
from zsk.evaluation.proposal_recall import best_overlaps
from zsk.proposals.criterion import region_classes
from zsk.proposals.losses import class_loss
from zsk.vocabulary import Vocabulary

NAMES = tuple(f"class {k}" for k in range(300))
# joint ids 0–298 are seen and keep their id, 299 is unseen
CLASSES = Vocabulary(NAMES, NAMES, (True,) * 299 + (False,))
LABEL = np.array([[7, 255, 298, 299], [65535, 255, 256, 7]], np.uint16)
NONE = 65535


@pytest.fixture
def cfg(tmp_path: Path):
    folders = write_pairs(tmp_path, {"a": LABEL.repeat(10, 0).repeat(10, 1)})
    register_zero_shot_split("many", *folders, CLASSES, training=True)
    cfg = default_config()
    cfg.DATASETS.TRAIN, cfg.OUTPUT_DIR = ("many",), str(tmp_path / "out")
    return cfg


def test_training_views_hold_the_ids_of_the_file(cfg) -> None:
    check_at_start(["many"])
    cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.SIZE, cfg.INPUT.SIZE_DIVISIBILITY = True, [48, 48], 16
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.RECOLOR = (10, 30), 0.5
    mapper, (record,) = ZeroShotMapper(cfg, True, "many"), DatasetCatalog.get("many")
    shown: set[int] = set()
    for seed in range(9):
        seed_all_rng(seed)
        mapped = mapper(record)
        named, unnamed = mapped["sem_seg"], mapped["unnamed"]
        assert named.shape == (48, 48) and (named[-10:] == NONE).all()  # 30 rows at most
        assert ((named == NONE) | (unnamed == NONE)).all()
        shown |= {*named.unique().tolist(), *unnamed.unique().tolist()}
    assert shown == {7, 255, 256, 298, NONE}  # 299 is unseen


def test_the_model_pads_and_splits_with_the_wide_label() -> None:
    wide = {"vocabulary": CLASSES.seen_only(), "image": torch.zeros(3, 2, 4)}
    labels = torch.from_numpy(LABEL.astype(np.int64))
    small = {**wide, "image": torch.zeros(3, 1, 2), "sem_seg": labels[:1, :2]}
    large, padded = colour_net(Pixels(), None).segments([{**wide, "sem_seg": labels}, small])
    assert large.labels.tolist() == [7, 255, 256, 298, 299]
    assert large.valid.tolist() == [[True] * 4, [False, True, True, True]]
    assert padded.labels.tolist() == [7, 255] and padded.valid.sum() == 2


@pytest.mark.parametrize("count", [255, 256, 300])
def test_class_255_counts_in_the_class_loss(count: int) -> None:
    """Also as no object, the id behind 255 classes."""
    logits = torch.zeros(2, count + 1)
    expected = torch.log(torch.tensor(count + 1.0))
    loss = class_loss(logits, torch.tensor([255, 255]), 1.0)
    torch.testing.assert_close(loss, expected)
    assert class_loss(logits, torch.tensor([NONE, NONE]), 1.0) == 0
    unlabelled = {"vocabulary": CLASSES, "image": torch.zeros(3, 1, 2)}
    unlabelled["sem_seg"] = torch.full((1, 2), NONE)
    (segments,) = colour_net(Pixels(), None).segments([unlabelled])
    assert region_classes(torch.ones(1, 1, 2), segments, 0.5, count).tolist() == [NONE]


def test_evaluation_scores_every_id_and_dumps_16_bits(cfg, tmp_path: Path) -> None:
    cfg.TEST.DUMP = ["png"]
    (record,) = DatasetCatalog.get("many")
    given = ZeroShotMapper(cfg, False, "many")(record)
    pred = torch.from_numpy(LABEL.repeat(10, 0).repeat(10, 1).astype(np.int64))
    pred[pred == NONE] = 0
    pred[:10, 10:20] = 256  # half of class 255
    evaluators = build_evaluators(cfg, "many")
    evaluators.reset()
    evaluators.process([given], [{"pred_labels": pred}])
    evaluators.evaluate()
    out = tmp_path / "out" / "inference" / "many"
    report = json.loads((out / "metrics.json").read_text())
    assert {int(name.split()[1]): value for name, value in report["IoU"].items()} == {
        **{7: 100.0, 255: 50.0, 256: 50.0, 298: 100.0, 299: 100.0}
    }
    assert read_label(out / "predictions" / "a.png").tolist() == pred.tolist()


def test_recall_of_a_segment_with_id_255() -> None:
    gt = torch.tensor([[255, 255, NONE, 3]])
    logits = torch.tensor([[[5.0, -5.0, 5.0, -5.0]]])
    assert best_overlaps(logits, gt, ignore=NONE) == {3: (0.0, 0.0), 255: (0.5, 0.5)}
