"""The chart of the classes' IoU, for short and for long vocabularies."""

import numpy as np
import pytest
from PIL import Image

from zsk.evaluation.chart import draw_per_class_iou
from zsk.vocabulary import Vocabulary


@pytest.mark.parametrize("count, width, height", [(1, 720, 180), (20, 720, 636), (171, 1968, 1524)])
def test_size_grows_with_the_vocabulary(tmp_path, count, width, height):
    names = tuple(f"${index}" for index in range(count))  # no formula
    vocabulary = Vocabulary(names, names, tuple(index % 3 > 0 for index in range(count)))
    iou = {name: 100.0 * k / count for k, name in enumerate(names)}
    draw_per_class_iou(iou, vocabulary, tmp_path / "chart.png", "a $ test")
    with Image.open(tmp_path / "chart.png") as image:
        assert image.size == pytest.approx((width, height), abs=2)


def test_bars_are_as_long_as_the_groups_are_good(tmp_path):
    vocabulary = Vocabulary(("a", "b", "c"), ("a", "b", "c"), (True, False, False))
    draw_per_class_iou({"a": 90.0, "b": 30.0}, vocabulary, tmp_path / "x.png", "a test")
    pixels = np.asarray(Image.open(tmp_path / "x.png").convert("RGB")).astype(int)
    blue, orange = (
        (np.abs(pixels - colour).max(axis=2) < 8).sum() for colour in ((0, 114, 178), (213, 94, 0))
    )
    assert blue > 2 * orange > 0
