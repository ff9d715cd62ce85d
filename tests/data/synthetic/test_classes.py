"""The compositions: which there are, which are unseen, and that their parts are not."""

import pytest

from zsk.data.synthetic.classes import (
    CLASSES,
    MATERIALS,
    OBJECTS,
    PATTERNS,
    SHAPES,
    STUFF,
    TONES,
    UNSEEN_OBJECTS,
    UNSEEN_STUFF,
    Composition,
    object_vocabulary,
    stuff_vocabulary,
)


def test_how_many_there_are() -> None:
    assert (len(OBJECTS), len(STUFF)) == (24, 8)
    assert CLASSES == OBJECTS + STUFF
    assert len({c.name for c in CLASSES}) == 32


def test_the_first_and_the_last_of_each_kind() -> None:
    assert Composition("star", "striped").name == "striped star"
    names = [c.name for c in CLASSES]
    assert names[:4] == ["red circle", "green circle", "blue circle", "yellow circle"]
    # the ring is shape 5: materials 5, 0, 1, 2
    assert names[20:24] == ["spotted ring", "red ring", "green ring", "blue ring"]
    assert names[24:26] == ["grey bricks", "brown bricks"]
    assert names[30:] == ["pink pebbles", "grey pebbles"]  # pattern 3: tones 3, 0


def test_parts_are_spread_evenly() -> None:
    for shape in SHAPES:
        assert sum(c.kind == shape for c in OBJECTS) == 4
    for material in MATERIALS:
        assert sum(c.look == material for c in OBJECTS) == 4
    for pattern in PATTERNS:
        assert sum(c.kind == pattern for c in STUFF) == 2
    for tone in TONES:
        assert sum(c.look == tone for c in STUFF) == 2


def test_unseen_classes_are_new_compositions_of_seen_parts() -> None:
    unseen = UNSEEN_OBJECTS + UNSEEN_STUFF
    assert len(unseen) == 8 and set(unseen) < set(CLASSES)
    seen = set(CLASSES) - set(unseen)
    for composition in unseen:
        assert any(c.kind == composition.kind for c in seen)
        assert any(c.look == composition.look for c in seen)
    # each shape and each material has exactly one
    assert sorted(c.kind for c in UNSEEN_OBJECTS) == sorted(SHAPES)
    assert sorted(c.look for c in UNSEEN_OBJECTS) == sorted(MATERIALS)


@pytest.mark.parametrize(
    "vocabulary, classes, unseen",
    [
        (stuff_vocabulary(), CLASSES, UNSEEN_OBJECTS + UNSEEN_STUFF),
        (object_vocabulary(), OBJECTS, UNSEEN_OBJECTS),
    ],
)
def test_vocabularies_name_the_classes_in_the_order_of_their_ids(
    vocabulary, classes, unseen
) -> None:
    assert vocabulary.names == vocabulary.prompt_names == tuple(c.name for c in classes)
    assert vocabulary.seen == tuple(c not in unseen for c in classes)
