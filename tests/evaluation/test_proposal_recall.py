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


@pytest.mark.parametrize(
    "masks, gt, expected",
    [
        (torch.zeros(0, 2, 2), [[0, 1]], {0: 0.0, 1: 0.0}),  # no proposal
        (logits([[1, 1]]), [[255, 255]], {}),
        # cat: 2/3 with the first; cow: 1/2 with the second
        (
            logits([[1, 1, 0, 0]], [[0, 0, 1, 1]], [[0, 0, 0, 0]]),
            [[0, 0, 0, 2]],
            {0: 2 / 3, 2: 1 / 2},
        ),
        (logits([[1, 1, 1, 0]]), [[0, 255, 255, 2]], {0: 1.0, 2: 0.0}),  # ignored pixels
        (torch.zeros(1, 1, 2), [[1, 1]], {1: 0.0}),  # a probability of one half is outside
        # masks are enlarged to the label map
        (logits([[1, 0]], [[0, 1]]), [[0, 0, 1, 1], [0, 0, 1, 1]], {0: 1.0, 1: 1.0}),
    ],
)
def test_each_segment_takes_its_best_proposal(masks, gt, expected):
    assert best_overlaps(masks, torch.tensor(gt)) == pytest.approx(expected)


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
    yield ProposalRecall(NAME, output_dir=str(tmp_path / "new" / "folder"))
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


def test_means_are_over_segments_and_written(evaluator, tmp_path):
    add(evaluator, tmp_path, "one", [[0, 0, 0, 2]], logits([[1, 1, 0, 0]], [[0, 0, 1, 1]]))
    for _ in range(2):  # the second one is padding
        add(evaluator, tmp_path, "two", [[0, 0, 0, 0]], logits([[1, 0, 0, 0]]))
    add(evaluator, tmp_path, "blank", [[255]], logits([[1]]))
    results = evaluator.evaluate()["proposals"]
    # segments: cat 2/3, cow 1/2, cat 1/4
    cat = pytest.approx(100 * (2 / 3 + 1 / 4) / 2, abs=1e-6)
    assert results == {
        "segments": 3.0,
        "bestIoU": pytest.approx(100 * (2 / 3 + 1 / 2 + 1 / 4) / 3, abs=1e-6),
        "bestIoU-seen": cat,
        "bestIoU-unseen": 50.0,
    }
    assert all(type(value) is float for value in results.values())
    report = json.loads((tmp_path / "new" / "folder" / "proposals.json").read_text())
    assert report["dataset"] == NAME and report["metrics"] == results
    assert report["classes"] == {
        "cat": {"segments": 2, "bestIoU": cat},
        "cow": {"segments": 1, "bestIoU": 50.0},
    }
    evaluator.reset()
    add(evaluator, tmp_path, "three", [[0, 1]], logits([[1, 0]]))
    results = evaluator.evaluate()["proposals"]
    assert results == {"segments": 2.0, "bestIoU": 50.0, "bestIoU-seen": 50.0}


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
