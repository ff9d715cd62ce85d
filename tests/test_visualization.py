"""Pictures of segmentations: sizes, colours, places of the names, from one pixel up."""

import numpy as np
import pytest
from PIL import Image

from zsk import visualization
from zsk.errors import UserError
from zsk.visualization import draw_segmentation, label_image, palette, pixel_shares

NAMES = ("cat", "sofa", "wall")


def grey(height, width):
    return np.full((height, width, 3), 90, dtype=np.uint8)


def test_shares_are_sorted_and_keep_what_was_not_found():
    labels = np.array([[1, 1, 1], [0, 1, 0]])
    shares = pixel_shares(labels, NAMES)
    assert list(shares) == ["sofa", "cat", "wall"]
    assert shares == pytest.approx({"sofa": 4 / 6, "cat": 2 / 6, "wall": 0.0})


def test_equal_shares_stay_in_the_order_of_the_names():
    assert list(pixel_shares(np.array([[2, 0]]), NAMES)) == ["cat", "wall", "sofa"]


def test_every_label_has_a_colour_of_its_own():
    colours = palette()
    assert colours.shape == (256, 3) and colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) == 256
    assert colours[255].tolist() == [0, 0, 0]


def test_the_first_twenty_colours_are_far_apart_also_without_green_receptors():
    for eye in (np.eye(3), visualization._DEUTERANOPIA):
        seen = visualization._oklab(palette()[:20], eye)
        distances = np.linalg.norm(seen[:, None] - seen[None], axis=2)
        assert distances[~np.eye(20, dtype=bool)].min() > 0.04  # about 0.02 is just noticeable


def test_the_palette_cannot_be_changed_by_a_caller():
    with pytest.raises(ValueError):
        palette()[0] = 0


def test_label_image_round_trip(tmp_path):
    labels = np.array([[0, 254], [7, 7]])
    label_image(labels, 255).save(tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), labels)
        assert image.convert("RGB").getpixel((1, 0)) == tuple(palette()[254].tolist())


def test_more_names_than_eight_bits_hold_are_refused():
    with pytest.raises(UserError, match="256 were given"):
        label_image(np.zeros((1, 1), dtype=np.int64), 256)


@pytest.mark.parametrize(
    "height, width, panel_height, panel_width",
    [
        (1, 1, 480, 480),
        (300, 451, 319, 480),  # small photos are enlarged
        (500, 741, 500, 741),
        (3000, 4000, 900, 1200),
        (3000, 1, 1200, 1),
        (1, 3000, 1, 1200),
    ],
)
def test_both_panels_are_of_a_readable_size(height, width, panel_height, panel_width):
    labels = np.zeros((height, width), dtype=np.int64)
    picture = draw_segmentation(grey(height, width), labels, NAMES)
    gap = max(6, max(panel_height, panel_width) // 100)
    assert picture.mode == "RGB"
    assert picture.width == max(480, 2 * panel_width + 3 * gap)
    assert 0 < picture.height - panel_height - 3 * gap < 60  # one row of legend


def test_photo_left_and_colours_right():
    labels = np.repeat([[0, 1]], 500, axis=0).repeat(250, axis=1)
    picture = np.asarray(draw_segmentation(grey(500, 500), labels, NAMES)).astype(int)
    assert (picture[6:506, 6:506] == 90).all()
    for label, column in ((0, 522), (1, 1002)):
        expected = 0.6 * palette()[label] + 0.4 * 90
        np.testing.assert_allclose(picture[20, column], expected, atol=1)


def test_the_legend_holds_what_was_found_in_full_colour():
    labels = np.array([[0, 0], [0, 2]])
    picture = np.asarray(draw_segmentation(grey(2, 2), labels, NAMES))
    legend = picture[6 + 480 :].reshape(-1, 3)
    found = [bool((legend == palette()[k]).all(axis=1).any()) for k in range(3)]
    assert found == [True, False, True]


def test_a_long_legend_goes_on_in_further_rows():
    names = [f"a rather long name {k}" for k in range(40)]
    labels = np.arange(40).reshape(5, 8)
    few = draw_segmentation(grey(5, 8), np.zeros_like(labels), names)
    many = draw_segmentation(grey(5, 8), labels, names)
    assert many.width == few.width and many.height > few.height + 150


def test_a_name_is_placed_inside_its_largest_region():
    labels = np.zeros((100, 200), dtype=np.int64)
    labels[10:40, 20:50] = 1  # 30×30
    labels[60:90, 150:160] = 1  # smaller
    places = dict(visualization._name_places(labels))
    assert places[1] == pytest.approx((35, 25), abs=2)
    assert labels[int(places[0][1]), int(places[0][0])] == 0


def test_a_ring_is_named_on_itself_not_in_its_hole():
    rows, columns = np.mgrid[:200, :200]
    radius = np.hypot(rows - 100, columns - 100)
    labels = ((radius > 50) & (radius < 90)).astype(np.int64)
    x, y = dict(visualization._name_places(labels))[1]
    assert labels[int(y), int(x)] == 1


def test_specks_are_not_named():
    labels = np.zeros((100, 100), dtype=np.int64)
    labels[::10, ::10] = 1
    assert [label for label, _ in visualization._name_places(labels)] == [0]


def test_negative_labels_leave_the_photo_grey_and_have_no_name():
    labels = np.full((100, 100), -1)
    photo = Image.fromarray(grey(100, 100))
    assert np.array_equal(np.asarray(visualization.draw_overlay(photo, labels, NAMES)), photo)
    labels[:40] = 0
    assert [label for label, _ in visualization._name_places(labels)] == [0]
    tinted = visualization.draw_overlay(photo, labels, NAMES)
    assert tinted.getpixel((0, 0)) != (90, 90, 90) == tinted.getpixel((0, 99))


def test_more_names_than_colours_are_drawn():
    names = [str(k) for k in range(300)]
    drawn = draw_segmentation(grey(1, 2), np.array([[255, 299]]), names)
    assert drawn.width >= 4  # photo and segmentation side by side
