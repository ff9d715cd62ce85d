"""Scores of cells beside those of pixels: names, numbers by hand, the table of the log."""

import json

import numpy as np
import pytest
import torch
from label_records import NAME, VOCABULARY, label_record

from zsk.config import default_config
from zsk.errors import UserError
from zsk.evaluation.build import build_evaluators, check_best_metric
from zsk.evaluation.cells import labels_of_cells
from zsk.evaluation.zero_shot_evaluator import ZeroShotEvaluator


@pytest.mark.parametrize(
    "size, grid, expected",
    [
        # middles 2 and 6 of 8 columns: the pixels that begin there; 1 of 2 rows
        ((2, 8), (1, 2), [[10, 14]]),
        # 5 columns in 2 cells: middles 1.25 and 3.75
        ((1, 5), (1, 2), [[1, 3]]),
        ((2, 3), (2, 3), [[0, 1, 2], [3, 4, 5]]),
        # a photo that is enlarged for the network: middles 1/8, 3/8, 5/8, 7/8 of 2
        ((1, 2), (1, 4), [[0, 0, 1, 1]]),
    ],
)
def test_a_cell_has_the_label_in_its_middle(size, grid, expected) -> None:
    labels = np.arange(size[0] * size[1]).reshape(size)
    assert labels_of_cells(labels, grid).tolist() == expected


def process(evaluator, folder, gt, pixels, cells, vocabulary=VOCABULARY):
    record = label_record(folder, "a", gt, vocabulary)
    evaluator.process(
        [record], [{"pred_labels": torch.tensor(pixels), "pred_cells": torch.tensor(cells)}]
    )


def test_numbers_of_cells_have_names_of_their_own(dataset, caplog) -> None:
    """A cow of one pixel, in the middle of the first cell, is found at cells only."""
    cfg = default_config()
    cfg.OUTPUT_DIR, cfg.TEST.CELL_STRIDE = str(dataset / "out"), 8
    evaluators = build_evaluators(cfg, NAME)
    evaluators.reset()
    gt = [[0] * 8, [0, 0, 2, 0, 0, 0, 0, 0]]
    process(evaluators, dataset, gt, [[0] * 8] * 2, [[2, 0]])
    with caplog.at_level("INFO", "zsk"):
        numbers = evaluators.evaluate()["sem_seg"]
    # pixels: cat 15 of 16, cow 0; cells: both right
    assert (numbers["mIoU-seen"], numbers["mIoU-unseen"], numbers["hIoU"]) == (93.75, 0.0, 0.0)
    assert numbers["hIoU@8"] == numbers["mIoU-seen@8"] == numbers["pAcc@8"] == 100.0
    assert numbers["mIoU-seen@8-mIoU-seen"] == 6.25
    assert numbers["hIoU@8-hIoU"] == 100.0
    rows = [line.replace("|", " ").split() for line in caplog.text.splitlines() if "|" in line]
    assert rows[0][:4] == ["scored", "hIoU", "mIoU-seen", "mIoU-unseen"]
    assert rows[2][:4] == ["pixels", "0.00", "93.75", "0.00"]
    assert rows[3][:6] == ["cells", "of", "8", "100.00", "100.00", "100.00"]
    assert rows[4][:4] == ["difference", "+100.00", "+6.25", "+100.00"]
    assert "means of cells" not in caplog.text
    report = json.loads((dataset / "out" / "inference" / NAME / "metrics.json").read_text())
    assert not [key for key in report["metrics"] if "@" in key]
    assert report["cells"]["stride"] == 8 and report["cells"]["metrics"]["mIoU@8"] == 100.0
    assert report["cells"]["differences"]["hIoU@8-hIoU"] == 100.0


def test_a_class_that_no_cell_shows_is_told(dataset, caplog) -> None:
    evaluator = ZeroShotEvaluator(NAME, cell_stride=4)
    process(evaluator, dataset, [[1, 0, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 0]], [[0]])
    numbers = evaluator.evaluate()["sem_seg"]
    assert numbers["mIoU@4"] == 100.0
    assert "no cell of 4 pixels shows dog: the means of cells are over fewer" in caplog.text


def test_seen_names_alone(dataset) -> None:
    evaluator = ZeroShotEvaluator(NAME, cell_stride=2, seen_only=True)
    process(evaluator, dataset, [[0, 0, 1, 2]], [[0] * 4], [[0, 1]], VOCABULARY.seen_only())
    numbers = evaluator.evaluate()["sem_seg_seen_only"]
    # cells: cat is right, the cow's is not scored; pixels: cat 2 of 3, dog none
    assert numbers["mIoU-seen-only@2"] == 100.0
    assert numbers["mIoU-seen-only@2-mIoU-seen-only"] == pytest.approx(100 - 100 / 3)


def test_cells_that_do_not_fit_are_refused_by_file_name(dataset) -> None:
    with pytest.raises(UserError, match=r"a\.png cannot be scored: the prediction holds label 3"):
        process(ZeroShotEvaluator(NAME, cell_stride=2), dataset, [[0, 0]], [[0, 0]], [[3]])


def test_the_best_checkpoint_may_be_chosen_at_cells(dataset) -> None:
    cfg = default_config()
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = (NAME,)
    cfg.TEST.EVAL_PERIOD, cfg.TEST.BEST_METRIC = 5, "hIoU@8"
    with pytest.raises(UserError, match="'hIoU@8', which no evaluation of DATASETS.TEST gives"):
        check_best_metric(cfg)
    cfg.TEST.CELL_STRIDE = 8
    check_best_metric(cfg)
