"""The classes of the synthetic world: compositions of two parts, some of them unseen.

An object is a shape of a material ("striped star"), a stuff is a pattern of a tone ("grey bricks").
Every part of an unseen class is seen in other classes, never together: what is new is the
composition.
"""

from __future__ import annotations

from typing import NamedTuple

from zsk.data.splits import make_vocabulary
from zsk.vocabulary import Vocabulary

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
MATERIALS = ("red", "green", "blue", "yellow", "striped", "spotted")
PATTERNS = ("bricks", "planks", "waves", "pebbles")
TONES = ("grey", "brown", "teal", "pink")

MATERIALS_PER_SHAPE = 4
UNSEEN_OFFSET = 2  # which of a shape's materials is unseen


class Composition(NamedTuple):
    """A class: `kind` is a shape or a pattern, `look` its material or tone."""

    kind: str
    look: str

    @property
    def name(self) -> str:
        return f"{self.look} {self.kind}"


# a shape comes in four of the six materials, each time shifted by one, so that every material has
# four shapes; the same with two tones per pattern
OBJECTS = tuple(
    Composition(shape, MATERIALS[(i + k) % len(MATERIALS)])
    for i, shape in enumerate(SHAPES)
    for k in range(MATERIALS_PER_SHAPE)
)
STUFF = tuple(
    Composition(pattern, TONES[(i + k) % len(TONES)])
    for i, pattern in enumerate(PATTERNS)
    for k in range(2)
)
CLASSES = OBJECTS + STUFF

UNSEEN_OBJECTS = tuple(
    Composition(shape, MATERIALS[(i + UNSEEN_OFFSET) % len(MATERIALS)])
    for i, shape in enumerate(SHAPES)
)
UNSEEN_STUFF = (Composition("planks", "teal"), Composition("pebbles", "grey"))


def object_vocabulary() -> Vocabulary:
    """24 objects, 6 of them unseen; the stuff is an ignored background, as in VOC."""
    return make_vocabulary([c.name for c in OBJECTS], [c.name for c in UNSEEN_OBJECTS])


def stuff_vocabulary() -> Vocabulary:
    """24 objects and 8 stuff classes, 8 of the 32 unseen; every pixel has a label."""
    unseen = [c.name for c in UNSEEN_OBJECTS + UNSEEN_STUFF]
    return make_vocabulary([c.name for c in CLASSES], unseen)
