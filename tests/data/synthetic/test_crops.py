"""Pictures for CLIP, of renderings drawn by hand: an object and a strip on one kind of stuff."""

from collections.abc import Iterator

import numpy as np
import pytest

from zsk.data.synthetic.classes import CLASSES, OBJECTS
from zsk.data.synthetic.crops import (
    MIN_PIXELS,
    class_name,
    clean_picture,
    pictures,
)
from zsk.data.synthetic.outlines import CutOuts
from zsk.data.synthetic.scene import NO_CLASS, SIDE, Portrait, Rendering, Scene

STAR, STRIP, GROUND = 3, len(OBJECTS), len(OBJECTS) + 5
COLOURS = {STAR: (200, 10, 20), STRIP: (30, 180, 40), GROUND: (60, 50, 160)}


@pytest.fixture
def rendering() -> Rendering:
    """20 × 30 pixels of an object; a stuff one row high; the rest another stuff."""
    classes = np.full((SIDE, SIDE), GROUND, dtype=np.uint8)
    classes[10:30, 40:70] = STAR
    classes[90] = STRIP
    return paint(classes)


def paint(classes: np.ndarray) -> Rendering:
    image = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    for label, colour in COLOURS.items():
        image[classes == label] = colour
    return Rendering(image, classes)


def draws(rendering: Rendering, count: int = 40) -> Iterator[tuple[int, set[int]]]:
    """(label, labels whose colour it shows) of all pictures over many draws."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        for image, label in pictures(rendering, SIDE, rng):
            yield label, {k for k, colour in COLOURS.items() if (image == colour).all(-1).any()}


def test_pictures_are_square_rgb_one_per_class_at_most() -> None:
    scene = Scene(9, 0).render()
    found = list(pictures(scene, 32, np.random.default_rng(0)))
    assert found
    for image, label in found:
        assert image.shape == (32, 32, 3) and image.dtype == np.uint8
        assert type(label) is int and label in scene.classes
    labels = [label for _, label in found]
    assert len(set(labels)) == len(labels)


def test_an_object_is_cut_out_or_shown_with_the_ground_around(rendering: Rendering) -> None:
    mine = [shown for label, shown in draws(rendering) if label == STAR]
    assert len(mine) == 40 and all(STAR in shown for shown in mine)
    around = [GROUND in shown for shown in mine]
    assert any(around) and not all(around)  # cut out, a rectangle fills its box


def test_stuff_that_fills_no_window_is_only_cut_out(rendering: Rendering) -> None:
    strip = [shown for label, shown in draws(rendering) if label == STRIP]
    assert 0 < len(strip) < 40
    assert all(shown == {STRIP} for shown in strip)
    ground = [shown for label, shown in draws(rendering) if label == GROUND]
    assert len(ground) > len(strip)


def test_all_are_cut_out_with_flaws_where_that_is_asked(rendering: Rendering) -> None:
    def shown(cut_outs: CutOuts) -> list[set[int]]:
        rng = np.random.default_rng(0)
        found = []
        for _ in range(20):
            for image, label in pictures(rendering, SIDE, rng, cut_outs):
                if label == STAR:
                    found.append({k for k, c in COLOURS.items() if (image == c).all(-1).any()})
        return found

    assert all(seen == {STAR} for seen in shown(CutOuts(share=1, rough=0)))
    flawed = shown(CutOuts(share=1, rough=1, flawed=1))
    assert {STAR, GROUND} in flawed and {STAR} in flawed  # pieces gained, or lost alone


def test_another_draw_shows_a_scene_differently(rendering: Rendering) -> None:
    rng = np.random.default_rng(0)
    first, second = ([p.image for p in pictures(rendering, 16, rng)] for _ in range(2))
    assert not all(np.array_equal(a, b) for a, b in zip(first, second))


def test_a_clean_picture_is_an_object_alone_on_grey() -> None:
    classes = np.full((SIDE, SIDE), NO_CLASS, dtype=np.uint8)
    classes[10:30, 40:60] = STAR
    classes[10:12, 40:42] = NO_CLASS  # a corner is missing
    image, label = clean_picture(paint(classes), 20)  # its tight box at its own size
    assert label == STAR
    assert (image[:2, :2] == 127).all()
    assert (image[2:] == COLOURS[STAR]).all()


def test_no_picture_of_what_surrounds_a_portrait() -> None:
    classes = np.full((SIDE, SIDE), NO_CLASS, dtype=np.uint8)
    classes[10:30, 40:60] = STAR
    assert {label for label, _ in draws(paint(classes))} == {STAR}


@pytest.mark.parametrize("number", range(len(CLASSES)))
def test_portraits_show_the_classes_in_turn(number: int) -> None:
    portrait = Portrait(7, number).render()
    assert set(np.unique(portrait.classes)) <= {number, NO_CLASS}
    share = (portrait.classes == number).mean()
    assert share == 1 if number >= len(OBJECTS) else 0.01 < share < 0.6
    again = Portrait(7, number).render()
    assert np.array_equal(portrait.image, again.image)
    assert not np.array_equal(portrait.image, Portrait(7, number + len(CLASSES)).render().image)


@pytest.mark.parametrize("pixels, worth", [(MIN_PIXELS - 1, False), (MIN_PIXELS, True)])
def test_small_segments_are_left_out(pixels: int, worth: bool) -> None:
    classes = np.full(SIDE * SIDE, GROUND, dtype=np.uint8)
    classes[:pixels] = STAR
    small = paint(classes.reshape(SIDE, SIDE))
    found = pictures(small, 16, np.random.default_rng(0))
    assert (STAR in [label for _, label in found]) == worth


def test_captions_name_the_class() -> None:
    assert class_name(0) == "red circle" and class_name(31) == "grey pebbles"
