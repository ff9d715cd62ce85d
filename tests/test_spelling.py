"""Which class names are spellings of one."""

import pytest

from zsk.spelling import same_class

SAME = """
cat cats, bus buses, dish dishes, box boxes, watch watches, fly flies, key keys, photo photos
potato potatoes, monarch monarchs, glass glasses, ski skis, taxi taxis, emu emus, tie ties
cookie cookies, shoe shoes, olive olives, glove gloves, sleeve sleeves, cave caves, wave waves
roof roofs, giraffe giraffes, cafe cafes, cliff cliffs, rose roses, house houses, scissor scissors
leaf leaves, Palm-leaf palm_leaves, knife knives, shelf shelves, bookshelf bookshelves, wolf wolves
loaf loaves, scarf scarves, calf calves, half halves, thief thieves, hoof hooves, wife wives
person people, person persons, man men, woman women, fireman firemen, human humans, child children
mouse mice, goose geese, mongoose mongooses, foot feet, tooth teeth, ox oxen, fox foxes
cactus cacti, cactus cactuses, lens lenses, canvas canvases, diningtable dining_tables
"""
OTHERS = """
leave leaves, cafe caves, halve halves, calve calves, ski skies, sky skis, new news, good goods
len lens, bu bus, ga gas, canva canvas, iri iris, cloth clothes, clothe clothes, custom customs
boxer boxers, short shorts, gras grass, glas glass, plan planes, cap capes, bath bathes
shel shelf, cat catty, cats catty, mice mouses_pad, men woman, person child, cat car, car cart
wolf wolfhound, table tablet, rat rate, bus bust, van vans_shoe, photo photograph
"""


def pairs(table: str) -> list[tuple[str, str]]:
    return [tuple(pair.split()) for line in table.split("\n") for pair in line.split(",") if pair]


@pytest.mark.parametrize("one, other", pairs(SAME))
def test_singular_and_plural(one: str, other: str) -> None:
    assert same_class([one], [other]) == {one: other}
    assert same_class([other], [one]) == {other: one}


def test_an_article_makes_no_difference() -> None:
    assert same_class(["a cat", "The dining tables"], ["cat", "diningtable"]) == {
        **{"a cat": "cat", "The dining tables": "diningtable"}
    }
    assert same_class(["the", "another cat"], ["a", "cat"]) == {}


@pytest.mark.parametrize("one, other", pairs(OTHERS))
def test_different_words(one: str, other: str) -> None:
    assert same_class([one], [other]) == same_class([other], [one]) == {}
