"""Best overlaps worked out by hand on masks of a few pixels."""

import json

import pytest
import torch
from label_records import NAME, label_record

from zsk.evaluation.proposal_recall import ProposalRecall, best_overlaps


def logits(*masks):
    return torch.tensor(masks).float() * 20 - 10


@pytest.mark.parametrize(
    "masks, gt, expected",
    [
        (torch.zeros(0, 2, 2), [[0, 1]], {0: (0, 0), 1: (0, 0)}),  # no proposal
        (logits([[1, 1]]), [[255, 255]], {}),
        # cat: 2/3 with the first; cow: 1/2 with the second
        (
            logits([[1, 1, 0, 0]], [[0, 0, 1, 1]], [[0, 0, 0, 0]]),
            [[0, 0, 0, 2]],
            {0: (2 / 3, 0), 2: (1 / 2, 0)},
        ),
        # pixels without a label: 2 of the 3 of the first proposal; the second one is worse
        (
            logits([[1, 1, 1, 0]], [[1, 0, 0, 1]]),
            [[0, 255, 255, 2]],
            {0: (1, 2 / 3), 2: (1 / 2, 0)},
        ),
        (torch.zeros(1, 1, 2), [[1, 1]], {1: (0, 0)}),  # a probability of one half is outside
        # masks are enlarged to the label map
        (logits([[1, 0]], [[0, 1]]), [[0, 0, 1, 1], [0, 0, 1, 1]], {0: (1, 0), 1: (1, 0)}),
    ],
)
def test_each_segment_takes_its_best_proposal(masks, gt, expected):
    found = best_overlaps(masks, torch.tensor(gt))
    assert found.keys() == expected.keys()
    for label, overlap in found.items():
        assert overlap == pytest.approx(expected[label])


def add(evaluator, folder, stem, gt, masks):
    record = label_record(folder, stem, gt)
    evaluator.process([record], [{"pred_masks": masks, "photo_box": None}])


def test_means_are_over_segments_and_written(dataset):
    evaluator = ProposalRecall(NAME, str(dataset / "new" / "folder"))
    add(evaluator, dataset, "one", [[0, 0, 0, 2]], logits([[1, 1, 0, 0]], [[0, 0, 1, 1]]))
    for _ in range(2):  # the second one is padding
        add(evaluator, dataset, "two", [[0, 0, 0, 0, 255]], logits([[1, 0, 0, 0, 1]]))
    add(evaluator, dataset, "blank", [[255]], logits([[1]]))
    results = evaluator.evaluate()["proposals"]
    # segments: cat 2/3, cow 1/2, cat 1/4, whose proposal has no label at one of its two pixels
    cat = pytest.approx(100 * (2 / 3 + 1 / 4) / 2, abs=1e-6)
    assert results == {
        "segments": 3.0,
        "bestIoU": pytest.approx(100 * (2 / 3 + 1 / 2 + 1 / 4) / 3, abs=1e-6),
        "bestIoU-seen": cat,
        "bestIoU-unseen": 50.0,
        "unlabelled": pytest.approx(100 / 6, abs=1e-6),
        "unlabelled-seen": 25.0,
        "unlabelled-unseen": 0.0,
    }
    assert all(type(value) is float for value in results.values())
    report = json.loads((dataset / "new" / "folder" / "proposals.json").read_text())
    assert report["dataset"] == NAME and report["metrics"] == results
    assert report["classes"] == {
        "cat": {"segments": 2, "bestIoU": cat, "unlabelled": 25.0},
        "cow": {"segments": 1, "bestIoU": 50.0, "unlabelled": 0.0},
    }
    evaluator.reset()
    add(evaluator, dataset, "three", [[0, 1]], logits([[1, 0]]))
    results = evaluator.evaluate()["proposals"]
    assert results == {
        **{"segments": 2.0, "bestIoU": 50.0, "bestIoU-seen": 50.0},
        **{"unlabelled": 0.0, "unlabelled-seen": 0.0},
    }
