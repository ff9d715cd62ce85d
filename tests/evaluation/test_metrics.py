"""Metrics worked out by hand on maps of a few pixels."""

import logging

import numpy as np
import pytest

from zsk.evaluation.metrics import confusion_matrix, harmonic_mean, summarise
from zsk.evaluation.report import tables
from zsk.vocabulary import Vocabulary

AB = Vocabulary(("a", "b"), ("a", "b"), (True, False))
ABC = Vocabulary(("a", "b", "c"), ("a", "b", "c"), (True, True, False))


def row(*labels):
    return np.array([labels])


def test_confusion_matrix_equals_counting_pixel_by_pixel():
    rng = np.random.default_rng(0)
    pred, gt = rng.integers(0, 255, (13, 7)), rng.integers(0, 256, (13, 7)).astype(np.uint8)
    pred[0, 0] = gt[0, 0] = 254  # the highest id of a full vocabulary is not ignore
    expected = np.zeros((256, 256), dtype=np.int64)
    for p, g in zip(pred.flat, gt.flat):
        expected[g, p] += 1
    np.testing.assert_array_equal(confusion_matrix(pred, gt, 255), expected)


@pytest.mark.parametrize(
    "pred, gt, message",
    [
        (row(0, 2), row(0, 255), "prediction holds label 2, outside 0..1"),  # ignored or not
        (row(0, -1), row(0, 1), "prediction holds label -1"),
        (row(0, 1), row(0, 2), "ground truth holds label 2"),
        (row(0, 1), row(0), "differ in shape"),
    ],
)
def test_confusion_matrix_refuses_what_it_cannot_count(pred, gt, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(pred, gt, 2)


# a: 1 hit of 2 true, 1 predicted; b: 2 hits of 2 true, 3 predicted
FOUR_PIXELS = confusion_matrix(row(0, 1, 1, 1), row(0, 0, 1, 1), 2)


def test_four_pixels():
    assert summarise(FOUR_PIXELS, AB) == {
        "mIoU": pytest.approx(175 / 3),
        "mIoU-seen": 50.0,
        "mIoU-unseen": pytest.approx(200 / 3),
        "hIoU": pytest.approx(400 / 7),
        "pAcc": 75.0,
        "pAcc-seen": 50.0,
        "pAcc-unseen": 100.0,
        "mAcc": 75.0,
        "fwIoU": pytest.approx(175 / 3),
        "IoU": {"a": 50.0, "b": pytest.approx(200 / 3)},
        "Acc": {"a": 50.0, "b": 100.0},
    }


def test_a_class_without_ground_truth_lowers_only_the_class_it_was_taken_from(caplog):
    # one of two a-pixels is called c, which has no ground truth; c under ignore counts nowhere
    conf = confusion_matrix(row(0, 2, 1, 2), row(0, 0, 1, 255), 3)
    with caplog.at_level(logging.WARNING):
        metrics = summarise(conf, ABC)
    assert metrics["IoU"] == pytest.approx({"a": 50.0, "b": 100.0})
    assert metrics["mIoU"] == metrics["mIoU-seen"] == pytest.approx(75.0)
    assert metrics["fwIoU"] == metrics["pAcc"] == pytest.approx(200 / 3)
    assert not {"hIoU", "mIoU-unseen", "pAcc-unseen"} & set(metrics)
    assert "unseen" in caplog.text


def test_harmonic_mean_is_zero_when_a_group_is_never_found():
    metrics = summarise(confusion_matrix(row(0, 0), row(0, 1), 2), AB)
    assert (metrics["mIoU-seen"], metrics["mIoU-unseen"], metrics["hIoU"]) == (50.0, 0.0, 0.0)
    assert harmonic_mean(0.0, 0.0) == 0.0
    assert harmonic_mean(1.0, 3.0) == pytest.approx(1.5)


def test_nothing_but_ignore_gives_no_number_and_warns(caplog):
    with caplog.at_level(logging.WARNING):
        metrics = summarise(confusion_matrix(row(0, 1), row(255, 255), 2), AB)
    assert metrics == {"IoU": {}, "Acc": {}}
    assert len(caplog.records) == 3


def test_without_an_unseen_class_there_are_no_zero_shot_numbers(caplog):
    both = Vocabulary(("a", "b"), ("a", "b"), (True, True))
    metrics = summarise(FOUR_PIXELS, both)
    assert metrics.keys() == {"mIoU", "pAcc", "mAcc", "fwIoU", "IoU", "Acc"}
    assert metrics["mIoU"] == pytest.approx(175 / 3) and not caplog.records
    report = {"vocabulary": "joint", "cross_dataset": False, "classes": both.names, "unseen": []}
    headline, _ = tables({**report, "metrics": metrics, **metrics})
    assert headline.splitlines()[0].replace(" ", "") == "|mIoU|pAcc|mAcc|fwIoU|"
