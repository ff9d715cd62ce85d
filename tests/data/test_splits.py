"""Splits: counts, unseen names, derived ids and the checks on a split of one's own."""

from pathlib import Path

import numpy as np
import pytest

from zsk.data.class_names import COCO_STUFF_PROMPT_NAMES, VOC_PROMPT_NAMES
from zsk.data.splits import coco_stuff_value_table, get_split, make_vocabulary, voc_value_table
from zsk.errors import UserError


@pytest.mark.parametrize(
    "name, classes, seen, unseen", [("voc", 20, 15, 5), ("coco_stuff", 171, 156, 15)]
)
def test_counts(name: str, classes: int, seen: int, unseen: int) -> None:
    split = get_split(name)
    assert len(split) == classes
    assert len(split.seen_only()) == seen
    assert split.seen.count(False) == unseen


def test_unseen_ids_follow_from_the_names() -> None:
    voc, coco = get_split("voc"), get_split("coco_stuff")
    # VOC's own numbering has 16 pottedplant, 17 sheep, 18 sofa, 19 train, 20 tvmonitor
    assert [k for k, seen in enumerate(voc.seen) if not seen] == [15, 16, 17, 18, 19]
    unseen = {coco.names[k] for k, seen in enumerate(coco.seen) if not seen}
    assert unseen == {
        *("cow", "giraffe", "suitcase", "frisbee", "skateboard", "carrot", "scissors"),
        *("cardboard", "clouds", "grass", "playingfield", "river", "road", "tree"),
        "wall-concrete",
    }


def test_prompt_names_are_friendlier_unless_switched_off() -> None:
    friendly, plain = get_split("voc"), get_split("voc", friendly=False)
    assert friendly.names == plain.names == plain.prompt_names
    assert friendly.prompt_names[15] == "potted plant"
    assert friendly.prompt_names[19] == "television"
    changed = sum(a != b for a, b in zip(friendly.names, friendly.prompt_names))
    assert changed == len(VOC_PROMPT_NAMES)
    stuff = get_split("coco_stuff")
    assert stuff.prompt_names[stuff.names.index("wall-concrete")] == "concrete wall"
    assert not any("-" in name for name in stuff.prompt_names)
    changed = sum(a != b for a, b in zip(stuff.names, stuff.prompt_names))
    assert changed == len(COCO_STUFF_PROMPT_NAMES)


def test_unknown_split_lists_the_known_ones() -> None:
    with pytest.raises(
        UserError, match="no split 'ade': choose one of coco_stuff, synthetic_objects, "
    ):
        get_split("ade")


@pytest.mark.parametrize(
    "unseen, prompts, message",
    [
        ([], {}, "needs an unseen class"),
        (["cat", "dog"], {}, "needs a seen class"),
        (["cow"], {}, "unseen classes list 'cow'"),
        (["dog", "dog"], {}, "list 'dog' twice"),
        (["dog"], {"cow": "moo"}, "prompt names list 'cow'"),
        (["dog"], {"cat": "dog"}, "prompt name 'dog' occurs twice"),
    ],
)
def test_bad_splits_name_the_class(
    unseen: list[str], prompts: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make_vocabulary(["cat", "dog"], unseen, prompts)


def test_own_split() -> None:
    vocabulary = make_vocabulary(["cat", "dog"], ["cat"], {"dog": "puppy"})
    assert vocabulary.seen == (False, True)
    assert vocabulary.prompt_names == ("cat", "puppy")


def test_voc_values() -> None:
    table = voc_value_table()
    assert table[[0, 1, 20, 255]].tolist() == [255, 0, 19, 255]
    assert (table[21:255] == -1).all()


def test_coco_stuff_values() -> None:
    table = coco_stuff_value_table()
    names = get_split("coco_stuff").names
    # category 13 (stop sign) is stored as 12; 12 is the first unused category, stored as 11
    assert table[11] == -1
    assert names[table[12]] == "stop sign"
    assert names[table[0]] == "person"
    assert table[181] == 170 and names[170] == "wood"
    assert table[255] == 255
    assert sorted(table[table >= 0].tolist()) == [*range(171), 255]
    assert np.count_nonzero(table[:182] == -1) == 11
    assert (table[182:255] == -1).all()


def test_coco_stuff_names_and_values_agree_with_the_published_table(real_data: Path) -> None:
    table = coco_stuff_value_table()
    rows = (real_data / "names" / "coco_stuff_171.tsv").read_text().splitlines()[1:]
    published = [row.split("\t") for row in rows]
    assert [row[2] for row in published] == list(get_split("coco_stuff").names)
    assert [table[int(row[1])] for row in published] == list(range(171))
