"""The chart: a PNG that shows what it should, for short and for long vocabularies."""

import numpy as np
import pytest
from PIL import Image

from zsk.evaluation.chart import draw_per_class_iou
from zsk.vocabulary import Vocabulary


def make(count):
    names = tuple(f"class {index}" for index in range(count))
    return Vocabulary(names, names, tuple(index % 3 > 0 for index in range(count)))


def colour_share(path, rgb):
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return float((np.abs(pixels - rgb).max(axis=2) < 8).mean())


@pytest.mark.parametrize("count, width, height", [(1, 720, 180), (20, 720, 636), (171, 1968, 1524)])
def test_size_grows_with_the_vocabulary(tmp_path, count, width, height):
    vocabulary = make(count)
    iou = {name: 100.0 * k / count for k, name in enumerate(vocabulary.names)}
    draw_per_class_iou(iou, vocabulary, tmp_path / "chart.png", "a test")
    with Image.open(tmp_path / "chart.png") as image:
        assert image.format == "PNG"
        assert image.size == pytest.approx((width, height), abs=2)


def test_bars_are_as_long_as_the_groups_are_good(tmp_path):
    vocabulary = Vocabulary(("a", "b", "c"), ("a", "b", "c"), (True, False, False))
    blue, orange = (0, 114, 178), (213, 94, 0)
    draw_per_class_iou({"a": 90.0, "b": 30.0}, vocabulary, tmp_path / "x.png", "a test")
    assert colour_share(tmp_path / "x.png", blue) > 2 * colour_share(tmp_path / "x.png", orange) > 0


def test_a_name_with_dollar_signs_is_no_formula(tmp_path):
    names = ("$a_{b$", "plain")
    vocabulary = Vocabulary(names, names, (True, False))
    draw_per_class_iou({"$a_{b$": 10.0, "plain": 20.0}, vocabulary, tmp_path / "x.png", "a $ test")
    assert (tmp_path / "x.png").stat().st_size > 1000
