"""Splits and evaluation-only data sets: names, unseen classes, values of label files, mistakes."""

from pathlib import Path

import numpy as np
import pytest
from detectron2.data.datasets.builtin_meta import ADE20K_SEM_SEG_CATEGORIES, CITYSCAPES_CATEGORIES
from preparation.tables import (
    ade20k_847_value_table,
    cityscapes_label_id_table,
    cityscapes_train_id_table,
    coco_stuff_value_table,
    counted_from_1,
    to_joint_ids,
)

from zsk.data.splits import get_split, listed_values, make_vocabulary
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

CONTEXT = get_split("pascal_context_59")
ADE = get_split("ade20k_150")
CITYSCAPES = get_split("cityscapes_19")


def trained(classes: Vocabulary, names: list[str]) -> Vocabulary:
    return Vocabulary.from_trained(classes.names, classes.prompt_names, names)


def test_splits_and_their_unseen_classes() -> None:
    voc, coco = get_split("voc"), get_split("coco_stuff")
    assert (len(voc), len(coco)) == (20, 171)
    # VOC's own numbering has 16 pottedplant, 17 sheep, 18 sofa, 19 train, 20 tvmonitor
    assert [k for k, seen in enumerate(voc.seen) if not seen] == [15, 16, 17, 18, 19]
    unseen = {coco.names[k] for k, seen in enumerate(coco.seen) if not seen}
    things = "cow giraffe suitcase frisbee skateboard carrot scissors"
    stuff = "cardboard clouds grass playingfield river road tree wall-concrete"
    assert unseen == {*things.split(), *stuff.split()}
    with pytest.raises(UserError, match="no split 'ade': choose one of coco_stuff, synthetic_"):
        get_split("ade")


def test_prompt_names_are_friendlier() -> None:
    friendly = get_split("voc")
    assert friendly.prompt_names[15] == "potted plant"
    assert friendly.prompt_names[19] == "television"
    stuff = get_split("coco_stuff")
    assert stuff.prompt_names[stuff.names.index("wall-concrete")] == "concrete wall"
    assert not any("-" in name for name in stuff.prompt_names)


@pytest.mark.parametrize(
    "table, ids, classes",
    [
        (counted_from_1("voc"), {0: 255, 1: 0, 20: 19}, 20),
        (counted_from_1("pascal_context_59"), {0: 255, 1: 0, 59: 58}, 59),
        (counted_from_1("ade20k_150"), {0: 255, 1: 0, 150: 149}, 150),
        # 7 road, 8 sidewalk, 9 parking, 23 sky, 29 caravan, 31 train, 33 bicycle
        (cityscapes_label_id_table(), {0: 255, 7: 0, 8: 1, 9: 255, 23: 10, 29: 255, 33: 18}, 19),
        (cityscapes_train_id_table(), {0: 0, 18: 18}, 19),
        # category 13 is stored as 12; 12 is the first unused category, stored as 11
        (coco_stuff_value_table(), {0: 0, 11: -1, 12: 11, 181: 170}, 171),
    ],
    ids=["voc", "context", "ade", "city labels", "city trains", "coco"],
)
def test_values_of_label_files(table: np.ndarray, ids: dict[int, int], classes: int) -> None:
    assert {value: table[value] for value in ids} == ids
    assert table[255] == 255 and (table[max(ids) + 1 : 255] == -1).all()
    found = table[(table >= 0) & (table < 255)]
    assert found.tolist() == list(range(classes))  # every class once, in the order of its values


def test_coco_stuff_names_and_values_agree_with_the_published_table(real_data: Path) -> None:
    table = coco_stuff_value_table()
    rows = (real_data / "names" / "coco_stuff_171.tsv").read_text().splitlines()[1:]
    published = [row.split("\t") for row in rows]
    assert [row[2] for row in published] == list(get_split("coco_stuff").names)
    assert [table[int(row[1])] for row in published] == list(range(171))
    context = (real_data / "names" / "pascal_context_59.txt").read_text().split()
    assert context == list(CONTEXT.names)


def test_names_are_those_that_detectron2_lists() -> None:
    # Detectron2 has another of the benchmark's synonyms for ten of ADE20K's classes
    others = {"windowpane": "window", "bathtub": "tub", "railing": "rail", "airplane": "plane"}
    others |= {"streetlight": "street lamp", "television receiver": "tv", "apparel": "clothes"}
    others |= {"swimming pool": "pool", "waterfall": "falls", "ashcan": "trash can"}
    published = [entry.split(",")[0].strip() for entry in ADE20K_SEM_SEG_CATEGORIES]
    assert [others.get(name, name) for name in ADE.names] == published
    scored = [entry for entry in CITYSCAPES_CATEGORIES if entry["trainId"] != 255]
    assert [entry["name"] for entry in scored] == list(CITYSCAPES.names)
    assert [cityscapes_label_id_table()[entry["id"]] for entry in scored] == list(range(19))
    # positions in the published list, from 1 on
    assert [CONTEXT.names[k - 1] for k in (1, 16, 50, 59)] == [
        "aeroplane", "ceiling", "diningtable", "wood"
    ]  # fmt: skip


def test_seen_are_the_names_that_were_trained() -> None:
    vocabulary = trained(CITYSCAPES, ["Person", "car", "sofa"])
    assert [n for n, seen in zip(vocabulary.names, vocabulary.seen) if seen] == ["person", "car"]
    coco = get_split("coco_stuff").seen_only()
    vocabulary = trained(CONTEXT, [*coco.names, *coco.prompt_names])
    seen = {name for name, flag in zip(vocabulary.names, vocabulary.seen) if flag}
    # by the prompt: airplane, motorcycle, couch, television, computer mouse
    assert {"aeroplane", "motorbike", "sofa", "tvmonitor", "mouse", "wall"} <= seen
    # unseen classes of COCO-Stuff, and names that it lacks
    assert not {"cow", "grass", "road", "tree", "sidewalk", "bedclothes"} & seen


@pytest.mark.parametrize("split, counts", [("coco_stuff", [48, 61, 12]), ("voc", [15, 7, 4])])
def test_as_many_are_seen_as_the_readme_says(split: str, counts: list[int]) -> None:
    seen = get_split(split).seen_only()
    words = [*seen.names, *seen.prompt_names]
    assert [sum(trained(c, words).seen) for c in (CONTEXT, ADE, CITYSCAPES)] == counts


def test_values_beyond_the_table_are_named() -> None:
    values = np.array([[1, 300]], np.uint16)
    with pytest.raises(UserError, match="a.png holds the value 300, which the benchmark does not"):
        to_joint_ids(values, counted_from_1("voc"), Path("a.png"))


@pytest.mark.parametrize("names", [{"cat", "dog"}, {"cat": "kitten"}, "cat", ["cat", 1]])
def test_names_without_an_order_or_that_are_no_texts_are_refused(names) -> None:
    with pytest.raises(UserError, match="class names are .*, but have to be a list of texts"):
        make_vocabulary(names, [])


def test_the_larger_lists_agree_with_the_smaller_ones() -> None:
    """ADE20K's 847 and Pascal Context's 459 classes, and the values of their pixels."""
    ade, context = get_split("ade20k_847"), get_split("pascal_context_459")
    assert (len(ade), len(context)) == (847, 459)
    # published positions of the 59 classes in the list of 459, counted from 1
    of_59 = (
        2, 259, 260, 415, 324, 9, 258, 144, 18, 19, 22, 23, 397, 25, 284, 158, 159, 416, 33, 162,
        420, 454, 295, 296, 427, 44, 45, 46, 308, 59, 440, 445, 31, 232, 65, 354, 424, 68, 326, 72,
        458, 34, 207, 80, 355, 85, 347, 220, 349, 360, 98, 187, 104, 105, 366, 189, 368, 113, 115,
    )  # fmt: skip
    small = {name.replace("diningtable", "table") for name in CONTEXT.names}
    assert {context.names[k - 1] for k in of_59} == small
    # ADE20K sorts its 3,000 names, but for those that were added behind them
    values = dict(zip(ade.names, listed_values("ade20k_847")))
    single = [name for name in values if values[name] < 3100 and " " not in name]
    # of these, the data set has another synonym first
    renamed = "handbag suitcase handbasket grille flowerpot terrace wharf tube".split()
    single = [name for name in single if name not in renamed]
    assert len(single) > 550
    assert sorted(single, key=values.__getitem__) == sorted(single)
    assert values["bed"] == 165  # what the data set's own tables say of it


def test_values_of_wide_label_files() -> None:
    context, ade = counted_from_1("pascal_context_459"), ade20k_847_value_table()
    assert context[[0, 1, 2, 459, 460, 65535]].tolist() == [65535, 0, 1, 458, -1, 65535]
    # wall is the first class, adding machine the last; 0 and unlisted objects are ignored
    assert ade[[2978, 312, 3148, 0, 1, 60000]].tolist() == [0, 1, 846, 65535, 65535, 65535]
    ids = to_joint_ids(np.array([[2978, 0, 3148]], np.uint16), ade, Path("a.png"))
    assert ids.dtype == np.uint16 and ids.tolist() == [[0, 65535, 846]]
