"""Dumped predictions, read back."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from zsk.data.images import read_label
from zsk.errors import UserError
from zsk.evaluation.prediction_dump import PredictionDump
from zsk.vocabulary import Vocabulary

# pycocotools' decode beside numpy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

VOCABULARY = Vocabulary(("cat", "cow", "dog"), ("cat", "cow", "dog"), (True, False, True))
LABELS = {"one": [[0, 0, 2], [2, 0, 2]], "two": [[1], [1]]}


def dump(folder, formats, stems=("one", "two"), **options):
    evaluator = PredictionDump(folder, formats, VOCABULARY, **options)
    evaluator.reset()
    for stem in stems:
        evaluator.process([{"image_id": stem}], [{"pred_labels": torch.tensor(LABELS[stem])}])
    assert evaluator.evaluate() is None
    return evaluator


def read_masks(folder):
    entries = json.loads((folder / "predictions.json").read_text())
    return [(e["image_id"], e["category_id"], coco_mask.decode(e["segmentation"])) for e in entries]


def test_pngs_hold_the_labels(tmp_path):
    dump(tmp_path, ["png"])
    for stem, labels in LABELS.items():
        assert read_label(tmp_path / "predictions" / f"{stem}.png").tolist() == labels
    assert Image.open(tmp_path / "predictions" / "one.png").mode == "P"
    assert [path.name for path in tmp_path.iterdir()] == ["predictions"]


def test_rle_holds_a_mask_per_class_that_was_found(tmp_path):
    dump(tmp_path, ["rle"])
    masks = read_masks(tmp_path)
    assert [entry[:2] for entry in masks] == [("one", 0), ("one", 2), ("two", 1)]
    assert masks[0][2].tolist() == [[1, 1, 0], [0, 1, 0]]
    assert masks[1][2].tolist() == [[0, 0, 1], [1, 0, 1]]
    assert masks[2][2].tolist() == [[1], [1]]
    entries = json.loads((tmp_path / "predictions.json").read_text())
    assert [entry["category"] for entry in entries] == ["cat", "dog", "cow"]
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.json"]


def test_ids_are_joint_ones_when_only_seen_names_competed(tmp_path):
    evaluator = PredictionDump(tmp_path, ["png", "rle"], VOCABULARY, seen_only=True)
    evaluator.reset()
    evaluator.process([{"image_id": "seen"}], [{"pred_labels": torch.tensor([[0, 1]])}])
    evaluator.evaluate()
    assert np.asarray(Image.open(tmp_path / "predictions" / "seen.png")).tolist() == [[0, 2]]
    assert [entry[1] for entry in read_masks(tmp_path)] == [0, 2]


def test_an_image_that_comes_twice_is_written_once_and_reset_forgets(tmp_path):
    evaluator = dump(tmp_path, ["rle"], stems=("two", "one", "two"))
    assert [entry[0] for entry in read_masks(tmp_path)] == ["two", "one", "one"]
    evaluator.reset()
    evaluator.evaluate()
    assert read_masks(tmp_path) == []


def test_another_format_is_refused(tmp_path):
    with pytest.raises(UserError, match="TEST.DUMP lists 'jpg': choose from png, rle"):
        PredictionDump(tmp_path, ["png", "jpg"], VOCABULARY)


def test_a_part_that_another_machine_kept_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 2)
    with pytest.raises(UserError, match=r"predictions\.json\.part1 .* share"):
        dump(tmp_path, ["rle"])
