"""The evaluators of a configuration, and their files."""

import json

import numpy as np
import pytest
import torch
from label_records import label_record
from PIL import Image

from zsk.config import default_config
from zsk.data.dataset_mapper import ZeroShotMapper
from zsk.data.register import register_zero_shot_split
from zsk.data.splits import make_vocabulary
from zsk.errors import UserError
from zsk.evaluation.build import build_evaluators, check_best_metric
from zsk.load import config_hash
from zsk.vocabulary import Vocabulary

VOCABULARY = Vocabulary(("cat", "cow", "dog"), ("cat", "cow", "dog"), (True, False, True))
NAME = "build_test"


@pytest.fixture
def cfg(tmp_path):
    register_zero_shot_split(NAME, tmp_path, tmp_path, VOCABULARY, training=False)
    cfg = default_config()
    cfg.OUTPUT_DIR = str(tmp_path / "out")
    return cfg


def evaluate(cfg, folder, gt, pred, vocabulary, name=NAME):
    evaluators = build_evaluators(cfg, name)
    evaluators.reset()
    record = label_record(folder, "a", gt, vocabulary)
    evaluators.process([record], [{"pred_labels": torch.tensor(pred)}])
    return evaluators.evaluate()


def test_only_metrics_unless_asked(cfg, tmp_path):
    results = evaluate(cfg, tmp_path, [[0, 1, 2]], [[0, 1, 2]], VOCABULARY)
    assert results["sem_seg"]["hIoU"] == 100.0
    folder = tmp_path / "out" / "inference" / NAME
    files = {path.name for path in folder.iterdir()}
    assert files == {"metrics.json", "confusion.npy", "per_class_iou.png"}
    report = json.loads((folder / "metrics.json").read_text())
    assert report["vocabulary"] == "joint"
    assert report["provenance"]["config_hash"] == config_hash(cfg)


def test_seen_names_have_metrics_and_a_folder_of_their_own(cfg, tmp_path, caplog):
    """Seen ids: cat 0, dog 1. The cow pixel (joint id 1) is not scored, whatever it is called."""
    cfg.TEST.VOCABULARY, cfg.TEST.DUMP = "seen", ["png"]
    with caplog.at_level("INFO", "zsk"):
        results = evaluate(cfg, tmp_path, [[0, 0, 1, 2]], [[0, 1, 0, 1]], VOCABULARY.seen_only())
    # cat: 1 of 2 true, 1 predicted; dog: 1 of 1 true, 2 predicted
    assert results == {
        "sem_seg_seen_only": {
            "mIoU-seen-only": 50.0,
            "pAcc-seen-only": pytest.approx(200 / 3),
            "mAcc-seen-only": 75.0,
            "fwIoU-seen-only": 50.0,
            "IoU-cat": 50.0,
            "IoU-dog": 50.0,
            "Acc-cat": 50.0,
            "Acc-dog": 100.0,
        }
    }
    folder = tmp_path / "out" / "inference" / NAME
    assert [path.name for path in folder.iterdir()] == ["seen_only"]
    report = json.loads((folder / "seen_only" / "metrics.json").read_text())
    assert report["vocabulary"] == "seen"
    assert "hIoU" not in caplog.text and "unseen" not in caplog.text
    dumped = np.asarray(Image.open(folder / "seen_only" / "predictions" / "a.png"))
    assert dumped.tolist() == [[0, 2, 0, 2]]  # joint ids
    # an image of unseen pixels only is not scored
    results = evaluate(cfg, tmp_path, [[1, 255]], [[0, 0]], VOCABULARY.seen_only())
    assert results == {"sem_seg_seen_only": {}}


def test_seen_only_refuses_the_joint_records_and_bad_labels(cfg, tmp_path):
    cfg.TEST.VOCABULARY = "seen"
    with pytest.raises(UserError, match="other classes"):
        evaluate(cfg, tmp_path, [[0]], [[0]], VOCABULARY)
    with pytest.raises(UserError, match=r"a\.png holds the id 3"):  # not turned into 255 unseen
        evaluate(cfg, tmp_path, [[3]], [[0]], VOCABULARY.seen_only())


@pytest.mark.parametrize(
    "key, value", [("VOCABULARY", "seen"), ("AUG.ENABLED", True), ("TILES", 64)]
)
def test_keys_that_do_not_suit_are_refused(cfg, key, value):
    cfg.merge_from_list(["TEST.PROPOSAL_RECALL", True, f"TEST.{key}", value])
    with pytest.raises(UserError, match="TEST.PROPOSAL_RECALL"):
        build_evaluators(cfg, NAME)


def test_without_an_unseen_class_the_best_is_none_of_zero_shot_numbers(cfg, tmp_path):
    names = ("cat", "cow")
    all_seen = Vocabulary(names, names, (True, True))
    register_zero_shot_split("all_seen", tmp_path, tmp_path, all_seen, training=True)
    cfg.merge_from_list(["DATASETS.TRAIN", ("all_seen",), "DATASETS.TEST", ("all_seen",)])
    cfg.merge_from_list(["TEST.EVAL_PERIOD", 5, "TEST.PROPOSAL_RECALL", True])
    for metric in ("hIoU", "mIoU-unseen", "mIoU-seen", "bestIoU-unseen"):
        cfg.TEST.BEST_METRIC = metric
        with pytest.raises(UserError, match=f"'{metric}', which no evaluation"):
            check_best_metric(cfg)
    for metric in ("mIoU", "pAcc", "bestIoU-seen", "IoU-cow"):
        cfg.TEST.BEST_METRIC = metric
        check_best_metric(cfg)


def test_across_data_sets_the_training_tells_which_names_are_new(cfg, tmp_path):
    only = {"training": False, "evaluation_only": True}
    register_zero_shot_split("road", tmp_path, tmp_path, make_vocabulary(["cat", "road"]), **only)
    cfg.DATASETS.TRAIN = (NAME,)
    asked = ZeroShotMapper(cfg, is_train=False, dataset_name="road").vocabulary
    numbers = evaluate(cfg, tmp_path, [[0, 1]], [[0, 0]], asked, "road")["sem_seg"]
    assert (numbers["mIoU-trained-names"], numbers["mIoU-new-names"]) == (50.0, 0.0)


def test_dumping_does_not_change_the_hash_but_the_vocabulary_does(cfg):
    plain = config_hash(cfg)
    cfg.TEST.DUMP = ["png", "rle"]
    assert config_hash(cfg) == plain
    cfg.TEST.VOCABULARY = "seen"
    assert config_hash(cfg) != plain
