"""The classes of the synthetic world as compositions of two parts.

An object is a shape of a material ("striped star"), a stuff is a pattern of a tone ("grey bricks").
Every part of an unseen class occurs in seen classes: only the composition is new.
"""

from __future__ import annotations

from typing import NamedTuple

from zsk.data.splits import get_split

MATERIALS = ("red", "green", "blue", "yellow", "striped", "spotted")


class Composition(NamedTuple):
    """A class: `kind` is a shape or a pattern, `look` its material or tone."""

    kind: str
    look: str

    @property
    def name(self) -> str:
        return f"{self.look} {self.kind}"


def _composition(name: str) -> Composition:
    look, kind = name.split()
    return Composition(kind, look)


OBJECTS = tuple(map(_composition, get_split("synthetic_objects").names))
CLASSES = tuple(map(_composition, get_split("synthetic_stuff").names))
"""In the order of their label ids: the objects, then the stuff."""

STUFF = CLASSES[len(OBJECTS) :]
