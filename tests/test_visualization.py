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
    labels = np.array([[0, 255], [256, 299]])
    label_image(labels, 300).save(tmp_path / "wide.png")
    with Image.open(tmp_path / "wide.png") as image:
        assert image.mode == "I;16" and np.asarray(image).tolist() == labels.tolist()
    with pytest.raises(UserError, match="65536 were given"):
        label_image(labels, 65536)


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


def test_regions_have_a_name_specks_none_and_negative_labels_no_colour():
    labels = np.full((200, 400), -1)
    assert (overlay(labels)[0] == 90).all()
    labels[150:153, 350:353] = 1
    drawn, ink = overlay(labels)
    assert not (drawn == 90).all() and not len(ink)
    labels[20:80, 40:140] = 1
    assert overlay(labels)[1].mean(axis=0) == pytest.approx((50, 90), abs=4)
