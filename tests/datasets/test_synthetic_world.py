"""The synthetic world: classes, scenes whose labels agree with the picture, pictures for CLIP."""

from collections.abc import Iterator

import numpy as np
import pytest
from synthetic_world.classes import CLASSES, MATERIALS, OBJECTS, STUFF
from synthetic_world.crops import MIN_PIXELS, class_name, clean_picture, pictures
from synthetic_world.outlines import (
    MIN_FLAWED_OVERLAP,
    MIN_OVERLAP,
    CutOuts,
    flawed_outline,
    rough_outline,
)
from synthetic_world.scene import NO_CLASS, SIDE, Portrait, Rendering, Scene
from synthetic_world.shapes import OUTLINES
from synthetic_world.textures import stuff

from zsk.data.splits import get_split

MEASURED = 80  # pixels of a class in a scene that are enough to tell its colour
STAR, STRIP, GROUND = 3, len(OBJECTS), len(OBJECTS) + 5
COLOURS = {STAR: (200, 10, 20), STRIP: (30, 180, 40), GROUND: (60, 50, 160)}


@pytest.fixture(scope="module")
def renderings() -> list[Rendering]:
    return [Scene(1, number).render() for number in range(25)]


@pytest.mark.parametrize("split, classes", [("stuff", CLASSES), ("objects", OBJECTS)])
def test_unseen_classes_are_new_compositions_of_seen_parts(split: str, classes) -> None:
    vocabulary = get_split(f"synthetic_{split}")
    assert vocabulary.names == vocabulary.prompt_names == tuple(c.name for c in classes)
    seen = {c for c, flag in zip(classes, vocabulary.seen) if flag}
    unseen = set(classes) - seen
    assert (len(seen), len(unseen)) == {"stuff": (24, 8), "objects": (18, 6)}[split]
    for composition in unseen:
        assert any(c.kind == composition.kind for c in seen)
        assert any(c.look == composition.look for c in seen)
    objects = [c for c in unseen if c in OBJECTS]  # one of each shape and of each material
    assert sorted(c.kind for c in objects) == sorted(OUTLINES)
    assert sorted(c.look for c in objects) == sorted(MATERIALS)


def test_every_pixel_is_labelled_and_scenes_differ(renderings: list[Rendering]) -> None:
    for image, classes in renderings:
        assert image.shape == (SIDE, SIDE, 3) and classes.shape == (SIDE, SIDE)
        assert image.dtype == classes.dtype == np.uint8
        objects = classes < len(OBJECTS)
        assert classes.max() < len(CLASSES) and objects.any() and not objects.all()
    for other in (Scene(1, 1), Scene(2, 0)):
        assert not np.array_equal(renderings[0].image, other.render().image)


def test_objects_have_the_colour_that_their_label_says(renderings: list[Rendering]) -> None:
    """The colour cast changes the ratio of channels by a sixth at most: the order stays."""
    strongest = {"red": 0, "green": 1, "blue": 2}
    measured = set()
    for image, classes in renderings:
        for label, composition in enumerate(OBJECTS):
            inside = classes == label
            if inside.sum() < MEASURED:
                continue
            colour = np.median(image[inside], axis=0)
            if composition.look in strongest:
                assert colour.argmax() == strongest[composition.look]
            elif composition.look == "yellow":
                assert colour.argmin() == 2 and colour[2] < 0.6 * colour[1]
            else:  # black and white
                assert np.ptp(image[inside].mean(axis=0)) < 0.25 * image[inside].mean()
            measured.add(composition.look)
    assert measured == set(MATERIALS)


def test_borders_of_labels_lie_where_the_colour_changes(renderings: list[Rendering]) -> None:
    """Colour changes most between neighbours of two labels, and less 4 pixels beside."""

    def change_at_borders(moved: int) -> float:
        found = []
        for image, classes in renderings:
            step = abs(np.diff(image.astype(float), axis=1)).sum(axis=-1)
            border = np.diff(np.roll(classes, moved, axis=1).astype(int), axis=1) != 0
            found.append(step[:, 8:-8][border[:, 8:-8]])
        return float(np.concatenate(found).mean())

    assert change_at_borders(0) > 1.3 * max(change_at_borders(-4), change_at_borders(4))


def test_no_two_shapes_or_patterns_look_alike() -> None:
    y, x = np.mgrid[-60:61, -60:61] * 0.02
    masks = [outline(x, y) for outline in OUTLINES.values()]
    patterns = sorted({c.kind for c in STUFF})
    drawn = [stuff(p, "grey", 50 * x, 50 * y, np.random.default_rng(0))[..., 0] for p in patterns]
    for i, mask in enumerate(masks):
        assert mask[60 + 35, 60] or mask[60, 60 - 35]  # 0.7 from the middle: a large one
        assert np.hypot(x, y)[mask].max() < 1.15  # the scene leaves no more room
        for other in masks[:i]:
            assert (mask & other).sum() / (mask | other).sum() < 0.85
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.5


@pytest.mark.parametrize("number", [0, len(OBJECTS), len(CLASSES) - 1])
def test_portraits_show_the_classes_in_turn(number: int) -> None:
    portrait = Portrait(7, number).render()
    assert set(np.unique(portrait.classes)) <= {number, NO_CLASS}
    share = (portrait.classes == number).mean()
    assert share == 1 if number >= len(OBJECTS) else 0.01 < share < 0.6
    assert not np.array_equal(portrait.image, Portrait(7, number + len(CLASSES)).render().image)


def paint(classes: np.ndarray) -> Rendering:
    image = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    for label, colour in COLOURS.items():
        image[classes == label] = colour
    return Rendering(image, classes)


def draws(rendering: Rendering, **cut_outs: float) -> Iterator[tuple[int, set[int]]]:
    """(label, labels whose colour the picture shows) over 40 draws."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        for image, label in pictures(rendering, SIDE, rng, CutOuts(**cut_outs)):
            assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8
            yield label, {k for k, colour in COLOURS.items() if (image == colour).all(-1).any()}


@pytest.fixture
def rendering() -> Rendering:
    """20 × 30 pixels of an object; a stuff one row high; the rest another stuff."""
    classes = np.full((SIDE, SIDE), GROUND, dtype=np.uint8)
    classes[10:30, 40:70] = STAR
    classes[90] = STRIP
    return paint(classes)


def test_pictures_show_their_subject_cut_out_or_with_its_surroundings(rendering) -> None:
    shown = list(draws(rendering))
    star = [seen for label, seen in shown if label == STAR]
    assert len(star) == 40 and all(STAR in seen for seen in star)
    assert 0 < sum(GROUND in seen for seen in star) < 40
    strip = [seen for label, seen in shown if label == STRIP]  # fills no window: only cut out
    assert 0 < len(strip) < 40 and all(seen == {STRIP} for seen in strip)


def test_flawed_cut_outs_lose_pieces_or_gain_some_of_neighbours(rendering) -> None:
    exact = [seen for label, seen in draws(rendering, share=1, rough=0) if label == STAR]
    assert all(seen == {STAR} for seen in exact)
    flawed = [seen for label, seen in draws(rendering, share=1, rough=1, flawed=1) if label == STAR]
    assert {STAR, GROUND} in flawed and {STAR} in flawed


@pytest.mark.parametrize("pixels, worth", [(MIN_PIXELS - 1, False), (MIN_PIXELS, True)])
def test_small_segments_give_no_picture(pixels: int, worth: bool) -> None:
    classes = np.full(SIDE * SIDE, GROUND, dtype=np.uint8)
    classes[:pixels] = STAR
    assert (STAR in dict(draws(paint(classes.reshape(SIDE, SIDE))))) == worth


def test_a_clean_picture_is_an_object_alone_on_grey() -> None:
    classes = np.full((SIDE, SIDE), NO_CLASS, dtype=np.uint8)
    classes[10:30, 40:60] = STAR
    classes[10:12, 40:42] = NO_CLASS  # a corner is missing
    image, label = clean_picture(paint(classes), 20)  # its tight box at its own size
    assert label == STAR and class_name(0) == "red circle"
    assert (image[:2, :2] == 127).all() and (image[2:] == COLOURS[STAR]).all()


def test_outlines_overlap_with_the_true_mask(rendering: Rendering) -> None:
    inside, rng = rendering.classes == STAR, np.random.default_rng(0)

    def overlaps(masks: list[np.ndarray]) -> list[float]:
        return [(mask & inside).sum() / (mask | inside).sum() for mask in masks]

    rough = overlaps([rough_outline(inside, rng) for _ in range(20)])
    assert MIN_OVERLAP <= min(rough) < 0.97
    masks = [flawed_outline(inside, inside, rendering.classes, rng) for _ in range(40)]
    assert MIN_FLAWED_OVERLAP <= min(overlaps(masks)) < 0.6
