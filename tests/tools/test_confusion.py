"""The confusion matrix: ranks, shares and the picture, by hand."""

import numpy as np
import pytest
from PIL import Image
from report_page.confusion import Confusion, draw_confusion, shares_of_truth, top_confusions
from saved_files import CONFUSION

from zsk.vocabulary import Vocabulary


def test_the_largest_confusions_come_first_with_their_share_of_the_class():
    assert top_confusions(CONFUSION, 10) == [
        Confusion(0, 1, 4, 40.0),
        Confusion(2, 0, 3, 60.0),
        Confusion(2, 1, 1, 20.0),
    ]
    assert top_confusions(CONFUSION, 1) == [Confusion(0, 1, 4, 40.0)]


def test_right_and_ignored_pixels_are_no_confusion():
    conf = np.diag([5, 5, 0, 0])
    conf[3, 0] = 100
    assert top_confusions(conf, 10) == []


def test_shares_add_up_and_absent_classes_share_a_column():
    conf = np.array([[3, 1, 0, 0], [0, 0, 0, 0], [0, 2, 2, 0], [9, 0, 0, 0]])
    present, shares = shares_of_truth(conf)
    assert present.tolist() == [0, 2]
    assert shares.tolist() == [[75.0, 0.0, 25.0], [0.0, 50.0, 50.0]]


@pytest.mark.parametrize("count", [1, 3, 171])
def test_the_diagonal_is_darkest_for_any_vocabulary(tmp_path, count):
    names = tuple(f"${k}" for k in range(count))  # no formula
    vocabulary = Vocabulary(names, names, tuple(k % 4 > 0 for k in range(count)))

    def darkness(conf):
        draw_confusion(conf, vocabulary, tmp_path / "x.png", "a $ test")
        pixels = np.asarray(Image.open(tmp_path / "x.png").convert("RGB")).astype(int)
        assert min(pixels.shape[:2]) == pytest.approx(120 * max(4.6, 0.13 * count + 2.6), abs=150)
        return float((np.abs(pixels - (8, 48, 107)).max(axis=2) < 4).mean())  # the scale's 100 %

    spread = np.ones((count + 1, count + 1), dtype=np.int64)
    assert darkness(5 * np.eye(count + 1, dtype=np.int64)) > (3 if count > 1 else 0.5) * darkness(
        spread
    )
