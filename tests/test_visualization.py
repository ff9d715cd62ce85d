"""Pictures of segmentations: sizes, colours, places of the names, from one pixel up."""

import numpy as np
import pytest
from PIL import Image

from zsk.drawing.palette import palette
from zsk.errors import UserError
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


def test_ignored_pixels_stay_grey_and_are_the_background_of_the_legend():
    labels = np.full((500, 500), 255, dtype=np.uint8)
    labels[:, 250:] = 1
    drawn, _ = overlay(labels)
    assert (drawn[:, :250] == 90).all()
    assert pixel_shares(labels, NAMES) == {"sofa": 0.5, "cat": 0.0, "wall": 0.0}
    legend = np.asarray(draw_segmentation(grey(500, 500), labels, NAMES))[512:]
    assert (legend == (128, 128, 128)).all(axis=2).sum() > 100  # the swatch


def test_opacity_colours_outline_and_names_are_the_callers():
    photo, labels = Image.fromarray(grey(100, 300)), np.zeros((100, 300), dtype=int)
    labels[:, 100:] = 2
    colours = np.array([[200, 0, 0], [0, 0, 0], [0, 0, 100]], dtype=np.uint8)
    plain = {"outline": False, "show_names": False}
    drawn = np.asarray(draw_overlay(photo, labels, NAMES, colours, opacity=1, **plain))
    np.testing.assert_array_equal(drawn, colours[labels])
    assert (np.asarray(draw_overlay(photo, labels, NAMES, opacity=0, **plain)) == 90).all()
    lined = np.asarray(draw_overlay(photo, labels, NAMES, opacity=0, show_names=False))
    assert np.unique(np.argwhere((lined == 255).all(axis=2))[:, 1]).tolist() == [100]


def test_unsure_pixels_are_half_grey():
    labels, confidence = np.zeros((200, 200), dtype=int), np.ones((200, 200), dtype=np.float32)
    confidence[:, 100:] = 0.3
    confidence[:, 150:] = np.nan
    drawn = np.asarray(
        draw_overlay(
            Image.fromarray(grey(200, 200)), labels, NAMES, show_names=False, confidence=confidence,
            dim_below=0.4,
        )
    )  # fmt: skip
    is_grey = (drawn == 90).all(axis=2)
    assert not is_grey[:, :100].any()
    assert is_grey[:, 100:150].mean() == pytest.approx(0.5, abs=0.02)
    assert is_grey[:, 150:].mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"opacity": 60}, "opacity is 60: give a number from 0 to 1"),
        ({"dim_below": -1}, "dim_below is -1"),
        ({"confidence": np.ones((2, 3))}, r"confidence is of shape \(2, 3\)"),
        ({"colours": np.zeros((3, 3))}, "colours must be uint8"),
        ({"labels": np.full((4, 4), 7)}, "labels hold 7, which is no position in 3 names"),
    ],
)
def test_what_cannot_be_drawn_is_refused(wrong, message):
    arguments = {"labels": np.zeros((4, 4), dtype=int), "names": NAMES, **wrong}
    with pytest.raises(UserError, match=message):
        draw_overlay(Image.fromarray(grey(4, 4)), **arguments)


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (3, 400), (400, 3)])
def test_odd_sizes_and_many_names_are_drawn(size):
    labels = np.arange(size[0] * size[1]).reshape(size) % 200
    picture = draw_segmentation(grey(*size), labels, [f"name {k}" for k in range(200)])
    assert picture.width >= 480
    assert draw_overlay(Image.fromarray(grey(*size)), labels, ["x"] * 200).size == size[::-1]
