"""Evaluation-only data sets: names in label order, prompt names, file values, seen by training."""

from pathlib import Path

import pytest
from detectron2.data.datasets.builtin_meta import ADE20K_SEM_SEG_CATEGORIES, CITYSCAPES_CATEGORIES

from zsk.data.evaluation_sets import (
    EVALUATION_SETS,
    EvaluationClasses,
    ade20k_value_table,
    cityscapes_label_id_table,
    cityscapes_train_id_table,
    make_evaluation_classes,
    pascal_context_value_table,
)
from zsk.data.splits import get_split
from zsk.errors import UserError

CONTEXT = EVALUATION_SETS["pascal_context_59"]
ADE = EVALUATION_SETS["ade20k_150"]
CITYSCAPES = EVALUATION_SETS["cityscapes_19"]


@pytest.mark.parametrize("name", EVALUATION_SETS)
def test_counts_and_uniqueness(name: str) -> None:
    classes = EVALUATION_SETS[name]
    count = int(name.rsplit("_", 1)[1])
    assert len(classes) == count
    assert len({word.casefold() for word in classes.names}) == count
    assert len({word.casefold() for word in classes.prompt_names}) == count


@pytest.mark.parametrize(
    "classes, file_value, name",
    [
        # the values of the label files, 0 being the background of the first two
        (CONTEXT, 1, "aeroplane"),
        (CONTEXT, 16, "ceiling"),
        (CONTEXT, 50, "diningtable"),
        (CONTEXT, 59, "wood"),
        (ADE, 1, "wall"),
        (ADE, 13, "person"),
        (ADE, 24, "sofa"),
        (ADE, 90, "television receiver"),
        (ADE, 131, "screen"),
        (ADE, 137, "traffic light"),
        (ADE, 142, "crt screen"),
        (ADE, 144, "monitor"),
        (ADE, 150, "flag"),
    ],
)
def test_positions(classes: EvaluationClasses, file_value: int, name: str) -> None:
    assert classes.names[file_value - 1] == name


def test_ade_names_are_those_that_detectron2_lists() -> None:
    # Detectron2 has another of the benchmark's synonyms for ten of them
    others = {
        "windowpane": "window",
        "bathtub": "tub",
        "railing": "rail",
        "streetlight": "street lamp",
        "television receiver": "tv",
        "airplane": "plane",
        "apparel": "clothes",
        "swimming pool": "pool",
        "waterfall": "falls",
        "ashcan": "trash can",
    }
    published = [entry.split(",")[0].strip() for entry in ADE20K_SEM_SEG_CATEGORIES]
    assert [others.get(name, name) for name in ADE.names] == published


def test_cityscapes_names_and_ids_are_those_that_detectron2_lists() -> None:
    scored = [entry for entry in CITYSCAPES_CATEGORIES if entry["trainId"] != 255]
    assert [entry["name"] for entry in scored] == list(CITYSCAPES.names)
    table = cityscapes_label_id_table()
    assert [table[entry["id"]] for entry in scored] == list(range(19))


def test_pascal_context_names_are_those_of_the_published_list(real_data: Path) -> None:
    published = (real_data / "names" / "pascal_context_59.txt").read_text().split("\n")
    assert [name for name in published if name] == list(CONTEXT.names)


def test_pascal_context_values() -> None:
    table = pascal_context_value_table()
    assert table[[0, 1, 59, 255]].tolist() == [255, 0, 58, 255]
    assert (table[60:255] == -1).all()


def test_ade_values() -> None:
    table = ade20k_value_table()
    assert table[[0, 1, 150, 255]].tolist() == [255, 0, 149, 255]
    assert (table[151:255] == -1).all()


def test_cityscapes_label_id_values() -> None:
    table = cityscapes_label_id_table()
    # 7 road, 8 sidewalk, 9 parking, 23 sky, 29 caravan, 31 train, 33 bicycle
    assert table[[7, 8, 9, 23, 29, 31, 33, 255]].tolist() == [0, 1, 255, 10, 255, 16, 18, 255]
    assert (table[:7] == 255).all()
    assert (table[34:255] == -1).all()


def test_cityscapes_train_id_values() -> None:
    table = cityscapes_train_id_table()
    assert table[:19].tolist() == list(range(19))
    assert (table[19:255] == -1).all() and table[255] == 255


def test_seen_are_the_names_that_were_trained() -> None:
    vocabulary = CITYSCAPES.vocabulary(["Person", "car", "sofa"])
    assert vocabulary.names == CITYSCAPES.names
    assert [n for n, seen in zip(vocabulary.names, vocabulary.seen) if seen] == ["person", "car"]
    assert not any(CITYSCAPES.vocabulary(()).seen)


def test_friendlier_names_meet_those_of_coco_stuff() -> None:
    coco = get_split("coco_stuff").seen_only()
    vocabulary = CONTEXT.vocabulary([*coco.names, *coco.prompt_names])
    seen = dict(zip(vocabulary.names, vocabulary.seen))
    # by the prompt: airplane, motorcycle, couch, television, computer mouse
    for name in ("aeroplane", "motorbike", "sofa", "tvmonitor", "mouse", "wall"):
        assert seen[name], name
    # unseen classes of COCO-Stuff, and names that it lacks
    for name in ("cow", "grass", "road", "tree", "sidewalk", "bedclothes"):
        assert not seen[name], name


@pytest.mark.parametrize("trained, counts", [("coco_stuff", [48, 61, 12]), ("voc", [15, 7, 4])])
def test_as_many_are_seen_as_the_notes_say(trained: str, counts: list[int]) -> None:
    seen = get_split(trained).seen_only()
    words = [*seen.names, *seen.prompt_names]
    assert [sum(c.vocabulary(words).seen) for c in (CONTEXT, ADE, CITYSCAPES)] == counts


def test_bad_classes_are_named() -> None:
    with pytest.raises(UserError, match="prompt names list 'cow'"):
        make_evaluation_classes(["cat"], {"cow": "moo"})
    with pytest.raises(UserError, match="class name 'Cat' occurs twice"):
        make_evaluation_classes(["cat", "Cat"])
    with pytest.raises(UserError, match="prompt name 'dog' occurs twice"):
        make_evaluation_classes(["cat", "dog"], {"cat": "dog"})
    with pytest.raises(UserError, match="at least one class"):
        make_evaluation_classes([])
