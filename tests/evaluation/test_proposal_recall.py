"""Best overlaps worked out by hand on masks of a few pixels."""

import json

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from zsk.data.evaluation_sets import make_evaluation_classes
from zsk.data.register import register_evaluation_set, register_zero_shot_split
from zsk.evaluation import ProposalRecall, proposal_recall
from zsk.evaluation.proposal_recall import best_overlaps
from zsk.vocabulary import Vocabulary

VOCABULARY = Vocabulary(("cat", "dog", "cow"), ("cat", "dog", "cow"), (True, True, False))
NAME = "recall_test"
OTHER = "recall_test_other"


def logits(*masks):
    return torch.tensor(masks).float() * 20 - 10


def test_no_proposal_overlaps_nothing():
    gt = torch.tensor([[0, 1]])
    assert best_overlaps(torch.zeros(0, 2, 2), gt) == {0: 0.0, 1: 0.0}


def test_an_ignored_map_has_no_segment():
    assert best_overlaps(logits([[1, 1]]), torch.full((1, 2), 255)) == {}


def test_each_segment_takes_its_best_proposal():
    gt = torch.tensor([[0, 0, 0, 2]])
    masks = logits([[1, 1, 0, 0]], [[0, 0, 1, 1]], [[0, 0, 0, 0]])
    # cat: 2/3 with the first; cow: 1/2 with the second
    assert best_overlaps(masks, gt) == pytest.approx({0: 2 / 3, 2: 1 / 2})


def test_ignored_pixels_take_no_part():
    gt = torch.tensor([[0, 255, 255, 2]])
    assert best_overlaps(logits([[1, 1, 1, 0]]), gt) == pytest.approx({0: 1.0, 2: 0.0})


def test_a_probability_of_one_half_is_outside():
    assert best_overlaps(torch.zeros(1, 1, 2), torch.tensor([[1, 1]])) == {1: 0.0}


def test_masks_are_enlarged_to_the_label_map():
    gt = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]])
    assert best_overlaps(logits([[1, 0]], [[0, 1]]), gt) == {0: 1.0, 1: 1.0}


def test_slices_change_nothing(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    masks = torch.randn(7, 4, 5, generator=generator)
    gt = torch.randint(0, 3, (9, 11), generator=generator)
    whole = best_overlaps(masks, gt)
    monkeypatch.setattr(proposal_recall, "_CHUNK_ELEMENTS", 2 * gt.numel())
    assert best_overlaps(masks, gt) == whole


@pytest.fixture
def evaluator(tmp_path):
    register_zero_shot_split(NAME, tmp_path, tmp_path, VOCABULARY, training=False)
    yield ProposalRecall(NAME)
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def add(evaluator, folder, stem, gt, masks, vocabulary=VOCABULARY):
    Image.fromarray(np.array(gt, dtype=np.uint8)).save(folder / f"{stem}.png")
    record = {
        "file_name": f"{stem}.jpg",
        "sem_seg_file_name": str(folder / f"{stem}.png"),
        "height": len(gt),
        "width": len(gt[0]),
        "vocabulary": vocabulary,
    }
    evaluator.process([record], [{"pred_masks": masks}])


def test_means_are_over_segments(evaluator, tmp_path):
    add(evaluator, tmp_path, "one", [[0, 0, 0, 2]], logits([[1, 1, 0, 0]], [[0, 0, 1, 1]]))
    add(evaluator, tmp_path, "two", [[0, 0, 0, 0]], logits([[1, 0, 0, 0]]))
    add(evaluator, tmp_path, "two", [[0, 0, 0, 0]], logits([[1, 0, 0, 0]]))  # padding
    add(evaluator, tmp_path, "blank", [[255]], logits([[1]]))
    results = evaluator.evaluate()["proposals"]
    # segments: cat 2/3, cow 1/2, cat 1/4
    assert results["segments"] == 3.0
    assert results["bestIoU"] == pytest.approx(100 * (2 / 3 + 1 / 2 + 1 / 4) / 3, abs=1e-6)
    assert results["bestIoU-seen"] == pytest.approx(100 * (2 / 3 + 1 / 4) / 2, abs=1e-6)
    assert results["bestIoU-unseen"] == pytest.approx(50.0)
    assert all(type(value) is float for value in results.values())


def test_classes_are_written(evaluator, tmp_path):
    written = ProposalRecall(NAME, output_dir=str(tmp_path / "new" / "folder"))
    add(written, tmp_path, "one", [[0, 0, 0, 2]], logits([[1, 1, 0, 0]], [[0, 0, 1, 1]]))
    add(written, tmp_path, "two", [[0, 0, 0, 0]], logits([[1, 0, 0, 0]]))
    results = written.evaluate()["proposals"]
    report = json.loads((tmp_path / "new" / "folder" / "proposals.json").read_text())
    assert report["dataset"] == NAME and report["metrics"] == results
    cat, cow = VOCABULARY.names[0], VOCABULARY.names[2]
    assert set(report["classes"]) == {cat, cow}  # those with a segment
    assert report["classes"][cat]["segments"] == 2
    assert report["classes"][cat]["bestIoU"] == pytest.approx(100 * (2 / 3 + 1 / 4) / 2, abs=1e-6)
    assert report["classes"][cow] == {"segments": 1, "bestIoU": 50.0}


def test_across_data_sets_the_groups_have_their_own_names(evaluator, tmp_path):
    register_evaluation_set(OTHER, tmp_path, tmp_path, make_evaluation_classes(["cat", "cow"]))
    try:
        crossed = ProposalRecall(OTHER, [NAME])
    finally:
        DatasetCatalog.remove(OTHER)
        MetadataCatalog.remove(OTHER)
    # cat was trained on, cow was not
    vocabulary = Vocabulary(*(("cat", "cow"),) * 2, (True, False))
    add(crossed, tmp_path, "one", [[0, 1]], logits([[1, 0]]), vocabulary)
    assert crossed.evaluate()["proposals"] == {
        "segments": 2.0,
        "bestIoU": 50.0,
        "bestIoU-trained-names": 100.0,
        "bestIoU-new-names": 0.0,
    }


def test_a_group_without_segment_is_left_out(evaluator, tmp_path):
    add(evaluator, tmp_path, "one", [[0, 1]], logits([[1, 0]]))
    results = evaluator.evaluate()["proposals"]
    assert results == {"segments": 2.0, "bestIoU": 50.0, "bestIoU-seen": 50.0}
    evaluator.reset()
    assert evaluator.evaluate()["proposals"] == {"segments": 0.0}
