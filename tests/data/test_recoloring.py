"""Recoloured segments: the outline stays, the name goes."""

import numpy as np
import pytest
from numpy.random import default_rng

from zsk.data.dataset_mapper import MEANS, recolor_segments

# two classes and an unlabelled column; class 3 is a checkerboard of 90 and 110
LABELS = np.array([[3, 3, 5, 255]] * 4)
IMAGE = np.full((4, 4, 3), 100, dtype=np.uint8)
IMAGE[:, :2] += np.where(np.indices((4, 2)).sum(axis=0) % 2, 10, 246).astype(np.uint8)[..., None]


def test_with_probability_1_every_segment_loses_its_name_and_keeps_its_outline() -> None:
    before = IMAGE.copy(), LABELS.copy()
    image, labels, unnamed = recolor_segments(IMAGE, LABELS, 1.0, default_rng(0))
    assert (labels == 255).all() and (unnamed == LABELS).all()
    assert (IMAGE == before[0]).all() and (LABELS == before[1]).all()  # the arguments stay
    assert (image[:, 3] == IMAGE[:, 3]).all()  # unlabelled pixels keep their colours
    assert image.dtype == np.uint8 and labels.dtype == unnamed.dtype == LABELS.dtype
    light = IMAGE[:, :2, 0] == 110
    for channel in range(3):  # the texture stays, around another mean
        high, low = image[:, :2, channel][light], image[:, :2, channel][~light]
        assert len(set(high)) == len(set(low)) == 1
        contrast = int(high[0]) - int(low[0])
        assert 14 - 1 <= contrast <= 28 + 1  # 20 by a contrast of 0.7 to 1.4, rounded
        assert MEANS[0] - 1 <= (int(high[0]) + int(low[0])) / 2 <= MEANS[1] + 1


def test_channels_change_places() -> None:
    red = np.full((1, 64, 3), 128, dtype=np.uint8)
    red[0, :, 0] = np.linspace(100, 156, 64)  # only this channel has a texture
    busy = set()
    for seed in range(20):
        image = recolor_segments(red, np.zeros((1, 64), int), 1.0, default_rng(seed))[0]
        busy.add(int(np.ptp(image[0].astype(int), axis=0).argmax()))
    assert busy == {0, 1, 2}


def test_the_probability_is_the_share_of_segments() -> None:
    labels = np.arange(200).reshape(10, 20).astype(np.uint8)
    image = np.zeros((10, 20, 3), dtype=np.uint8)
    share = (recolor_segments(image, labels, 0.3, default_rng(0))[1] == 255).mean()
    assert share == pytest.approx(0.3, abs=0.1)
