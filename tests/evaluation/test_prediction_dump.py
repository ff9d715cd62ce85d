"""Dumped predictions, read back."""

import json

import pytest
import torch
from pycocotools import mask as coco_mask

from zsk.data.label_files import read_label
from zsk.evaluation.prediction_dump import PredictionDump
from zsk.vocabulary import Vocabulary

# pycocotools' decode beside numpy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

VOCABULARY = Vocabulary(("cat", "cow", "dog"), ("cat", "cow", "dog"), (True, False, True))
LABELS = {"one": [[0, 0, 2], [2, 0, 2]], "two": [[1], [1]]}


def dump(folder, formats, stems=("one", "two")):
    evaluator = PredictionDump(folder, formats, VOCABULARY)
    evaluator.reset()
    for stem in stems:
        evaluator.process([{"image_id": stem}], [{"pred_labels": torch.tensor(LABELS[stem])}])
    assert evaluator.evaluate() is None
    return evaluator


def read_masks(folder):
    entries = json.loads((folder / "predictions.json").read_text())
    return [
        (e["image_id"], e["category_id"], e["category"], coco_mask.decode(e["segmentation"]))
        for e in entries
    ]


def test_pngs_hold_the_labels_and_rle_a_mask_per_class_that_was_found(tmp_path):
    evaluator = dump(tmp_path, ["png", "rle"], stems=("one", "two", "one"))  # once each
    for stem, labels in LABELS.items():
        assert read_label(tmp_path / "predictions" / f"{stem}.png").tolist() == labels
    masks = read_masks(tmp_path)
    found = [("one", 0, "cat"), ("one", 2, "dog"), ("two", 1, "cow")]
    assert [entry[:3] for entry in masks] == found
    assert masks[0][3].tolist() == [[1, 1, 0], [0, 1, 0]]
    assert masks[1][3].tolist() == [[0, 0, 1], [1, 0, 1]]
    assert masks[2][3].tolist() == [[1], [1]]
    assert {path.name for path in tmp_path.iterdir()} == {"predictions", "predictions.json"}
    evaluator.reset()
    evaluator.evaluate()
    assert read_masks(tmp_path) == []
