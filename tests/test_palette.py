"""Colours of names: how far apart they are, and which name gets which."""

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from zsk.drawing.palette import colours_for, fixed_colours, palette

# linear RGB as it looks without the middle-wave cones (Viénot, Brettel and Mollon, 1999)
DEUTERANOPIA = np.array(
    [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]
)


def smallest_difference(colours, eye=np.eye(3)):
    """CIEDE2000 between the two nearest of (n,3) colours of 0 to 255, as an eye sees them."""
    srgb = colours / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ eye.T, 0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = rgb2lab(seen)
    first, second = np.triu_indices(len(colours), 1)
    return deltaE_ciede2000(lab[first], lab[second]).min()


def test_every_label_has_a_colour_of_its_own():
    colours = palette()
    assert colours.shape == (256, 3) and colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) == 256
    assert colours[255].tolist() == [0, 0, 0]


def test_the_first_twelve_colours_are_far_apart_also_without_green_receptors():
    first = palette()[:12]
    assert smallest_difference(first) >= 25
    assert smallest_difference(first, DEUTERANOPIA) >= 16
    for grey in (40, 128, 215):  # as an overlay of opacity 0.6
        assert smallest_difference(0.6 * first + 0.4 * grey) >= 20


@pytest.mark.parametrize("eye", [np.eye(3), DEUTERANOPIA])
def test_the_first_twenty_colours_differ_also_without_green_receptors(eye):
    assert smallest_difference(palette()[:20], eye) > 4  # about 2 is just noticeable


def test_twelve_of_171_names_get_the_first_colours_the_largest_the_very_first():
    present = np.array([170, 3, 99, 12, 140, 15, 61, 60, 59, 33, 8, 120])
    labels = np.repeat(present, np.arange(24, 12, -1))  # 24 pixels of 170, 23 of 3, …
    colours = colours_for(np.append(labels, [255, -1] * 99), 171)
    assert colours.shape == (171, 3) and colours.dtype == np.uint8
    np.testing.assert_array_equal(colours[present], palette()[:12])
    assert len(np.unique(colours, axis=0)) == 171


def test_few_names_keep_their_colours_over_photos():
    np.testing.assert_array_equal(colours_for(np.full((2, 2), 11), 12), fixed_colours(12))
    assert (colours_for(np.full((2, 2), 12), 13)[12] == palette()[0]).all()


def test_fixed_colours_are_those_of_label_images_and_repeat_after_255():
    colours = fixed_colours(300)
    np.testing.assert_array_equal(colours[:255], palette()[:255])
    np.testing.assert_array_equal(colours[255:], palette()[:45])
