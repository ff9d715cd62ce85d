"""The synthetic world: its classes, and scenes whose labels agree with the picture."""

import numpy as np
import pytest
from synthetic_world.classes import CLASSES, MATERIALS, OBJECTS
from synthetic_world.scene import SIDE, render_scene
from synthetic_world.shapes import OUTLINES

from zsk.data.splits import get_split

MEASURED = 80  # pixels of a class in a scene that are enough to tell its colour


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


def test_objects_have_the_colour_that_their_label_says() -> None:
    """The colour cast changes the ratio of channels by a sixth at most: the order stays."""
    strongest = {"red": 0, "green": 1, "blue": 2}
    measured = set()
    for number in range(25):
        image, classes = render_scene(1, number)
        assert image.shape == (SIDE, SIDE, 3) and classes.shape == (SIDE, SIDE)
        assert image.dtype == classes.dtype == np.uint8 and classes.max() < len(CLASSES)
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
