"""What the evaluators hold does not grow with the number of images."""

import os
import tracemalloc

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from zsk.data.register import register_zero_shot_split
from zsk.evaluation import ZeroShotEvaluator
from zsk.evaluation.prediction_dump import PredictionDump
from zsk.vocabulary import Vocabulary

NAME = "memory_test"
HEIGHT, WIDTH = 480, 640


@pytest.fixture
def vocabulary(tmp_path):
    names = tuple(f"class {k}" for k in range(171))
    vocabulary = Vocabulary(names, names, tuple(k % 11 > 0 for k in range(171)))
    register_zero_shot_split(NAME, tmp_path, tmp_path, vocabulary, training=False)
    yield vocabulary
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def peak_memory(folder, vocabulary, count):
    """Bytes at most allocated while `count` images are evaluated and dumped."""
    pred = torch.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) // 1000 % 3
    tracemalloc.start()
    evaluators = [
        ZeroShotEvaluator(NAME),  # without its chart, whose drawing takes more than all else
        PredictionDump(folder, ["png", "rle"], vocabulary),
    ]
    for evaluator in evaluators:
        evaluator.reset()
    for index in range(count):
        record = {
            "file_name": str(folder / f"{index}.jpg"),
            "sem_seg_file_name": str(folder / f"{index}.png"),
            "image_id": str(index),
            "height": HEIGHT,
            "width": WIDTH,
            "vocabulary": vocabulary,
        }
        for evaluator in evaluators:
            evaluator.process([record], [{"pred_labels": pred.clone()}])
    for evaluator in evaluators:
        evaluator.evaluate()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.slow
def test_memory_over_50_and_over_500_images_is_the_same(tmp_path, vocabulary):
    label = np.random.default_rng(0).integers(0, 171, (HEIGHT, WIDTH), dtype=np.uint8)
    Image.fromarray(label).save(tmp_path / "0.png")
    for index in range(1, 500):
        os.link(tmp_path / "0.png", tmp_path / f"{index}.png")
    peak_memory(tmp_path, vocabulary, 2)  # what is imported and cached on first use
    few, many = (peak_memory(tmp_path, vocabulary, count) for count in (50, 500))
    assert few > 2**20
    assert abs(many - few) / few < 0.05
