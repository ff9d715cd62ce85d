"""The sliding window: where windows lie, what a pixel gets from them, and what they show."""

import math

import pytest
import torch
import torch.nn.functional as F
from dense_colours import DenseColours
from tiny_clip import ColourEncoder

from zsk.baselines.per_pixel.dense_clip import DenseClip, Windows, window_positions
from zsk.errors import UserError

RED, GREEN = torch.eye(3)[:2]
TEXT = torch.stack([RED, GREEN])


@pytest.mark.parametrize(
    "length, window, expected",
    [
        (4, 4, [0]),
        (9, 4, [0, 2, 4, 5]),
        (10, 4, [0, 2, 4, 6]),
        (7, 3, [0, 1, 2, 3, 4]),  # half of an odd side is rounded down
        (3, 1, [0, 1, 2]),
    ],
)
def test_windows_overlap_by_half_and_end_at_the_border(length, window, expected):
    assert window_positions(length, window) == expected


def test_rows_are_the_mean_of_the_windows_laid_on_the_photo():
    window, tops, lefts, size = 6, [0, 3, 5], [0, 3, 6, 8], (11, 14)
    probs = torch.rand(3, 4, 5, 2, 3).softmax(dim=2)
    total, count = torch.zeros(5, *size), torch.zeros(size)
    for i, y in enumerate(tops):
        for j, x in enumerate(lefts):
            large = F.interpolate(probs[i, j][None], (window, window), mode="bilinear")[0]
            total[:, y : y + window, x : x + window] += large
            count[y : y + window, x : x + window] += 1
    scores = Windows(probs, tops, lefts, window, size)
    strips = [scores.rows(size, top, min(top + 4, 11)) for top in range(0, 11, 4)]
    torch.testing.assert_close(torch.cat(strips, dim=1), total / count)
    for other in ((30, 9), (1, 40)):
        torch.testing.assert_close(scores.rows(other, 0, other[0]).sum(dim=0), torch.ones(other))


def photo(height, width, *columns):
    """Pure red with pure green from the column on."""
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[0] = 255
    for column in columns:
        image[0, :, column:], image[1, :, column:] = 0, 255
    return image


def test_a_photo_of_two_colours():
    encoder = DenseColours(input_size=4)
    scores = DenseClip(encoder)(photo(6, 8, 4)).probabilities(TEXT, 2.0)
    assert encoder.seen == [(3, 4, 4)] * 6  # two rows of windows at columns 0, 2, 4
    assert scores.maps.shape == (2, 3, 2, 2, 2)
    # cosines 1 and 0, times the encoder's scale of 2
    sure = math.e**2 / (math.e**2 + 1)
    red = scores.maps[0, :, 0]
    expected = torch.tensor([[sure, sure], [sure, 1 - sure], [1 - sure, 1 - sure]])
    torch.testing.assert_close(red, expected[:, None].expand(3, 2, 2))
    labels = scores.rows((6, 8), 0, 6).argmax(dim=0)
    assert labels.tolist() == [[0] * 4 + [1] * 4] * 6
    assert scores.rows((3, 4), 0, 3).argmax(dim=0).tolist() == [[0, 0, 1, 1]] * 3


def test_pixels_are_normalised_as_the_encoder_wants():
    encoder = DenseColours(input_size=4)
    encoder.pixel_mean, encoder.pixel_std = (0.0, 255.0, 0.0), (1.0, -1.0, 1.0)
    scores = DenseClip(encoder)(photo(4, 4)).probabilities(TEXT, 2.0)
    # (255, 0, 0) becomes (255, 255, 0): as red as green
    torch.testing.assert_close(scores.maps, torch.full_like(scores.maps, 0.5))


@pytest.mark.parametrize(
    "height, width, size",
    [
        (4, 9, (4, 9)),
        (2, 3, (4, 6)),
        (1, 1, (4, 4)),
        (30, 3, (32, 4)),  # eight windows of 4 long, not 40
        (3, 50, (4, 50)),  # never made shorter
    ],
)
def test_small_photos_are_enlarged_to_the_window(height, width, size):
    scores = DenseClip(DenseColours())(photo(height, width)).probabilities(TEXT, 2.0)
    assert scores.size == size
    labels = scores.rows((height, width), 0, height).argmax(dim=0)
    assert labels.tolist() == [[0] * width] * height


def test_an_encoder_without_dense_features_is_refused():
    encoder = ColourEncoder()
    encoder.vision = None
    with pytest.raises(UserError, match="MODEL.CLIP.NAME .* without dense features"):
        DenseClip(encoder)
