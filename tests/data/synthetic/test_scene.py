"""Scenes: repeatable, wholly labelled, and labels that agree with the picture."""

import numpy as np
import pytest

from zsk.data.synthetic.classes import CLASSES, OBJECTS
from zsk.data.synthetic.scene import SIDE, Rendering, Scene

TRAINING_SEED = 1
MEASURED = 80  # pixels of a class in a scene that are enough to tell its colour


@pytest.fixture(scope="module")
def renderings() -> list[Rendering]:
    return [Scene(TRAINING_SEED, number).render() for number in range(25)]


def test_the_same_numbers_give_the_same_pixels_and_others_others() -> None:
    image, classes = Scene(4, 7).render()
    again = Scene(4, 7).render()
    assert np.array_equal(image, again.image) and np.array_equal(classes, again.classes)
    for other in (Scene(4, 8), Scene(5, 7)):
        assert not np.array_equal(image, other.render().image)
        assert not np.array_equal(classes, other.render().classes)


def test_every_pixel_has_a_colour_and_a_class(renderings: list[Rendering]) -> None:
    for image, classes in renderings:
        assert image.shape == (SIDE, SIDE, 3) and classes.shape == (SIDE, SIDE)
        assert image.dtype == classes.dtype == np.uint8
        assert classes.max() < len(CLASSES)
        assert image.std() > 5


def test_scenes_have_ground_and_objects_some_of_which_leave_the_image(
    renderings: list[Rendering],
) -> None:
    leaving = 0
    for _, classes in renderings:
        objects = classes < len(OBJECTS)
        assert objects.any() and not objects.all()
        leaving += any(edge.any() for edge in (objects[0], objects[-1], objects.T[0]))
    assert 0 < leaving < len(renderings)


def test_all_classes_occur_among_the_first_200_training_scenes() -> None:
    missing = set(range(len(CLASSES)))
    for number in range(200):
        missing -= set(Scene(TRAINING_SEED, number).render().classes.flat)
        if not missing:
            return
    assert [CLASSES[label].name for label in sorted(missing)] == []


def test_flat_objects_have_the_colour_that_their_label_says(renderings: list[Rendering]) -> None:
    """The cast of light changes the channels' ratio by a sixth at most: the order stays."""
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
    assert len(measured) == 6


def test_borders_of_labels_lie_where_the_colour_changes(renderings: list[Rendering]) -> None:
    """Between neighbours of two labels colour changes most; labels moved by 4 pixels miss that."""

    def change_at_borders(moved: int) -> float:
        found = []
        for image, classes in renderings:
            step = abs(np.diff(image.astype(float), axis=1)).sum(axis=-1)
            border = np.diff(np.roll(classes, moved, axis=1).astype(int), axis=1) != 0
            found.append(step[:, 8:-8][border[:, 8:-8]])
        return float(np.concatenate(found).mean())

    at_borders = change_at_borders(0)
    for moved in (-4, 4):
        assert at_borders > 1.3 * change_at_borders(moved)
