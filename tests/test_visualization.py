"""Pictures of segmentations: sizes, colours, places of the names, from one pixel up."""

import numpy as np
import pytest
from PIL import Image

from zsk.errors import UserError
from zsk.palette import DEUTERANOPIA, oklab, palette
from zsk.visualization import draw_overlay, draw_segmentation, label_image, pixel_shares

NAMES = ("cat", "sofa", "wall")
INK = (20, 20, 20)


def grey(height, width):
    return np.full((height, width, 3), 90, dtype=np.uint8)


def overlay(labels):
    """The overlay of a grey photo of the labels' size, and where the names' ink is: (y, x)."""
    drawn = np.asarray(draw_overlay(Image.fromarray(grey(*labels.shape)), labels, NAMES))
    return drawn, np.argwhere((drawn == INK).all(axis=2))


def test_shares_are_sorted_and_keep_what_was_not_found():
    labels = np.array([[1, 1, 1], [2, 1, 0]])
    shares = pixel_shares(labels, (*NAMES, "dog"))
    assert list(shares) == ["sofa", "cat", "wall", "dog"]  # equal ones in the order of the names
    assert list(shares.values()) == pytest.approx([4 / 6, 1 / 6, 1 / 6, 0.0])


def test_every_label_has_a_colour_of_its_own():
    colours = palette()
    assert colours.shape == (256, 3) and colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) == 256
    assert colours[255].tolist() == [0, 0, 0]
    with pytest.raises(ValueError):
        colours[0] = 0  # all callers share it


@pytest.mark.parametrize("eye", [np.eye(3), DEUTERANOPIA])
def test_the_first_twenty_colours_are_far_apart_also_without_green_receptors(eye):
    seen = oklab(palette()[:20], eye)
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=2)
    assert distances[~np.eye(20, dtype=bool)].min() > 0.04  # about 0.02 is just noticeable


def test_label_image_round_trip(tmp_path):
    labels = np.array([[0, 254], [7, 7]])
    label_image(labels, 255).save(tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), labels)
        assert image.convert("RGB").getpixel((1, 0)) == tuple(palette()[254].tolist())
    with pytest.raises(UserError, match="256 were given"):
        label_image(labels, 256)


@pytest.mark.parametrize(
    "height, width, panel_height, panel_width",
    [
        (1, 1, 480, 480),
        (300, 451, 319, 480),  # small photos are enlarged
        (500, 741, 500, 741),
        (3000, 4000, 900, 1200),
        (1, 3000, 1, 1200),
    ],
)
def test_both_panels_are_of_a_readable_size(height, width, panel_height, panel_width):
    picture = draw_segmentation(grey(height, width), np.zeros((height, width), int), NAMES)
    gap = max(6, max(panel_height, panel_width) // 100)
    assert picture.width == max(480, 2 * panel_width + 3 * gap)
    assert 0 < picture.height - panel_height - 3 * gap < 60  # one row of legend


def test_photo_left_colours_right_and_a_legend_of_what_was_found():
    labels = np.repeat([[0, 2]], 500, axis=0).repeat(250, axis=1)
    picture = np.asarray(draw_segmentation(grey(500, 500), labels, NAMES)).astype(int)
    assert (picture[6:506, 6:506] == 90).all()
    for label, column in ((0, 522), (2, 1002)):
        expected = 0.6 * palette()[label] + 0.4 * 90
        np.testing.assert_allclose(picture[20, column], expected, atol=1)
    legend = picture[512:].reshape(-1, 3)
    found = [bool((legend == palette()[k]).all(axis=1).any()) for k in range(3)]
    assert found == [True, False, True]


def test_a_long_legend_goes_on_in_further_rows_and_colours_may_repeat():
    names = [f"a rather long name {k}" for k in range(300)]
    labels = np.arange(260, 300).reshape(5, 8)
    few = draw_segmentation(grey(5, 8), np.zeros_like(labels), names)
    many = draw_segmentation(grey(5, 8), labels, names)
    assert many.width == few.width and many.height > few.height + 150


def test_a_name_is_written_in_its_largest_region():
    labels = np.full((200, 400), -1)
    labels[20:80, 40:140] = 1
    labels[120:160, 300:340] = 1
    _, ink = overlay(labels)
    assert ink.mean(axis=0) == pytest.approx((50, 90), abs=4)


def test_the_name_of_a_ring_is_written_on_it_not_in_its_hole():
    rows, columns = np.mgrid[:300, :300]
    radius = np.hypot(rows - 150, columns - 150)
    _, ink = overlay(np.where((radius > 70) & (radius < 140), 0, -1))
    y, x = ink.mean(axis=0)
    assert 70 < np.hypot(y - 150, x - 150) < 140


def test_specks_have_no_name_and_negative_labels_no_colour():
    labels = np.full((100, 100), -1)
    drawn, ink = overlay(labels)
    assert (drawn == 90).all() and not len(ink)
    labels[50:53, 50:53] = 1
    drawn, ink = overlay(labels)
    assert not (drawn == 90).all() and not len(ink)
