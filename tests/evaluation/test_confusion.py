"""The confusion matrix told: ranks, shares and the picture, by hand."""

import numpy as np
import pytest
from PIL import Image
from saved_files import CONFUSION

from zsk.evaluation.confusion import Confusion, draw_confusion, shares_of_truth, top_confusions
from zsk.vocabulary import Vocabulary

PETS = Vocabulary(("cat", "dog", "cow"), ("cat", "dog", "cow"), (True, True, False))


def test_the_largest_confusions_come_first_with_their_share_of_the_class():
    assert top_confusions(CONFUSION, 10) == [
        Confusion(0, 1, 4, 40.0),
        Confusion(2, 0, 3, 60.0),
        Confusion(2, 1, 1, 20.0),
    ]
    assert top_confusions(CONFUSION, 1) == [Confusion(0, 1, 4, 40.0)]


def test_what_is_right_or_ignored_is_no_confusion():
    conf = np.diag([5, 5, 0, 0])
    conf[3, 0] = 100
    assert top_confusions(conf, 10) == []


def test_equal_confusions_go_by_label_ids():
    conf = np.zeros((4, 4), dtype=np.int64)
    conf[2, 0] = conf[1, 2] = conf[1, 0] = 7
    assert [c[:2] for c in top_confusions(conf, 10)] == [(1, 0), (1, 2), (2, 0)]


def test_shares_add_up_and_absent_classes_share_a_column():
    conf = np.array([[3, 1, 0, 0], [0, 0, 0, 0], [0, 2, 2, 0], [9, 0, 0, 0]])
    present, shares = shares_of_truth(conf)
    assert present.tolist() == [0, 2]
    assert shares.tolist() == [[75.0, 0.0, 25.0], [0.0, 50.0, 50.0]]


@pytest.mark.parametrize("count", [1, 3, 171])
def test_a_picture_of_any_vocabulary(tmp_path, count):
    names = tuple(f"${k}" for k in range(count))
    vocabulary = Vocabulary(names, names, tuple(k % 4 > 0 for k in range(count)))
    conf = np.random.default_rng(0).integers(1, 9, (count + 1, count + 1))
    draw_confusion(conf, vocabulary, tmp_path / "x.png", "a $ test")
    with Image.open(tmp_path / "x.png") as image:
        assert image.format == "PNG"
        assert min(image.size) == pytest.approx(120 * max(4.6, 0.13 * count + 2.6), abs=2)


def test_what_was_named_right_is_dark_and_the_rest_pale(tmp_path):
    def darkness(conf):
        draw_confusion(conf, PETS, tmp_path / "x.png", "a test")
        pixels = np.asarray(Image.open(tmp_path / "x.png").convert("RGB")).astype(int)
        return float((np.abs(pixels - (8, 48, 107)).max(axis=2) < 4).mean())  # the scale's 100 %

    spread = np.full((4, 4), 1, dtype=np.int64)
    assert darkness(np.diag([5, 5, 5, 0])) > 3 * darkness(spread)
