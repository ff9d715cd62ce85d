"""Registering: lazy, repeatable, no redefinition; listing pairs up files or names the odd one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from zsk.data.builtin import datasets_root, register_all
from zsk.data.evaluation_sets import EVALUATION_SETS, make_evaluation_classes
from zsk.data.listing import read_stems
from zsk.data.register import (
    get_vocabulary,
    is_cross_dataset,
    register_evaluation_set,
    register_zero_shot_split,
    registered_names,
    seen_names,
)
from zsk.data.splits import get_split
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

PETS = Vocabulary(("cat", "dog"), ("house cat", "dog"), (True, False))


@pytest.fixture(autouse=True)
def own_catalogs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test starts without zero-shot data sets and leaves the catalogs as they were."""
    saved = dict(DatasetCatalog), dict(MetadataCatalog)
    for name in registered_names():
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    yield
    for catalog, content in zip((DatasetCatalog, MetadataCatalog), saved):
        catalog.clear()
        catalog.update(content)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """photos/{a.jpg, b.JPEG} and labels/{a.png, b.png}, all empty: listing opens none of them."""
    photos, labels = tmp_path / "photos", tmp_path / "labels"
    for path in (photos / "b.JPEG", photos / "a.jpg", labels / "a.png", labels / "b.png"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return photos, labels


def test_records_and_metadata(folders: tuple[Path, Path]) -> None:
    photos, labels = folders
    (photos / ".hidden.jpg").touch()
    (photos / "notes.txt").touch()
    register_zero_shot_split("pets", photos, labels, PETS, training=True)
    assert DatasetCatalog.get("pets") == [
        {
            "file_name": str(photos / image),
            "sem_seg_file_name": str(labels / label),
            "image_id": stem,
        }
        for image, label, stem in (("a.jpg", "a.png", "a"), ("b.JPEG", "b.png", "b"))
    ]
    metadata = MetadataCatalog.get("pets")
    assert metadata.vocabulary == PETS
    assert metadata.training is True
    assert metadata.ignore_label == 255
    assert metadata.evaluator_type == "zero_shot"
    assert metadata.stuff_classes == ["cat", "dog"]
    assert metadata.image_root == str(photos)
    assert metadata.sem_seg_root == str(labels)


def test_twice_is_once_but_redefining_is_refused(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, labels = folders
    register_zero_shot_split("pets", photos, labels, PETS, training=True)
    monkeypatch.chdir(tmp_path)  # the same folders, given otherwise, are equal arguments
    register_zero_shot_split("pets", "photos", "labels/", PETS, training=True)
    other = Vocabulary(PETS.names, PETS.names, PETS.seen)
    for arguments, key in (
        ((photos, tmp_path, PETS, True, None), "sem_seg_root"),
        ((labels, labels, PETS, True, None), "image_root"),
        ((photos, labels, other, True, None), "vocabulary"),
        ((photos, labels, PETS, False, None), "training"),
        ((photos, labels, PETS, True, "list.txt"), "file_list"),
    ):
        image_root, label_root, vocabulary, training, file_list = arguments
        with pytest.raises(UserError, match=f"'pets' is registered already with another {key}"):
            register_zero_shot_split(
                "pets", image_root, label_root, vocabulary, training=training, file_list=file_list
            )


def test_name_of_another_project_is_refused(folders: tuple[Path, Path]) -> None:
    DatasetCatalog.register("taken", list)
    with pytest.raises(UserError, match="'taken' is registered already"):
        register_zero_shot_split("taken", *folders, PETS, training=True)


def test_training_needs_a_seen_class_but_testing_does_not(folders: tuple[Path, Path]) -> None:
    unseen = Vocabulary(("cat",), ("cat",), (False,))
    with pytest.raises(UserError, match="none of the 1 classes"):
        register_zero_shot_split("pets", *folders, unseen, training=True)
    register_zero_shot_split("pets", *folders, unseen, training=False)
    assert len(DatasetCatalog.get("pets")) == 2


def test_more_classes_than_8_bits_hold(folders: tuple[Path, Path]) -> None:
    names = tuple(f"class {k}" for k in range(256))
    with pytest.raises(UserError, match="256 classes"):
        register_zero_shot_split(
            "pets", *folders, Vocabulary(names, names, (True,) * 256), training=False
        )


@pytest.mark.parametrize(
    "remove, add, message",
    [
        (["labels/b.png"], [], r"image .*b.JPEG has no label .*b.png"),
        (
            ["photos/a.jpg"],
            [],
            r"label .*a.png has no image a \(.jpg or .jpeg or .png\) in .*photos",
        ),
        ([], ["photos/a.png"], r"share the stem 'a'"),
        (["labels/a.png", "labels/b.png"], [], r"labels .*labels holds no file ending in .png"),
        (["photos/a.jpg", "photos/b.JPEG"], [], r"photos .*photos holds no file"),
    ],
)
def test_odd_files_are_named_when_listing(
    folders: tuple[Path, Path], remove: list[str], add: list[str], message: str
) -> None:
    root = folders[0].parent
    for name in remove:
        (root / name).unlink()
    for name in add:
        (root / name).touch()
    register_zero_shot_split("pets", *folders, PETS, training=True)
    with pytest.raises(UserError, match=message):
        DatasetCatalog.get("pets")


def test_missing_folders_are_named_with_the_advice(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    register_zero_shot_split("pets", gone, tmp_path, PETS, training=True, advice="do this")
    with pytest.raises(UserError, match=r"photos .*gone does not exist: do this"):
        DatasetCatalog.get("pets")


def test_file_list_selects(folders: tuple[Path, Path], tmp_path: Path) -> None:
    stems = tmp_path / "list.txt"
    stems.write_bytes(b"b\r\n\r\n")
    (folders[0] / "a.jpg").unlink()  # not listed, so not missed
    register_zero_shot_split("pets", *folders, PETS, training=True, file_list=stems)
    assert [r["image_id"] for r in DatasetCatalog.get("pets")] == ["b"]
    stems.write_text("b\nc\n")
    with pytest.raises(UserError, match=r"'c' in .*list.txt has no image c"):
        DatasetCatalog.get("pets")


@pytest.mark.parametrize(
    "content, message", [(" \n", "is empty"), ("a\nb\na\n", "names 'a' twice"), (None, "cannot be")]
)
def test_bad_file_lists(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=f"list.txt {message}"):
        read_stems(path)


def test_register_all_touches_no_file(tmp_path: Path) -> None:
    register_all(tmp_path / "nowhere")
    register_all(str(tmp_path / "nowhere"))
    assert get_vocabulary("voc_zs_val") == get_split("voc")
    assert get_vocabulary("photos_zs_train") == get_split("coco_stuff")
    assert get_vocabulary("voc_zs_val", friendly=False) == get_split("voc", friendly=False)
    assert MetadataCatalog.get("coco_stuff_zs_train").training
    assert not MetadataCatalog.get("coco_stuff_zs_val").training
    with pytest.raises(UserError, match="JPEGImages does not exist.*datasets/prepare_voc.py"):
        DatasetCatalog.get("voc_zs_train")
    with pytest.raises(UserError, match="val2017 does not exist.*prepare_coco_stuff.py"):
        DatasetCatalog.get("coco_stuff_zs_val")
    with pytest.raises(UserError, match="'voc_zs_train' is registered already"):
        register_all(tmp_path)


def test_register_all_has_the_evaluation_sets(tmp_path: Path) -> None:
    register_all(tmp_path)
    register_all(tmp_path)
    for name, script in (
        ("pascal_context_59", "pascal_context"),
        ("ade20k_150", "ade20k"),
        ("cityscapes_19", "cityscapes"),
    ):
        metadata = MetadataCatalog.get(f"{name}_val")
        assert metadata.evaluation_classes == EVALUATION_SETS[name]
        assert metadata.vocabulary is None and not metadata.training
        assert metadata.stuff_classes == list(EVALUATION_SETS[name].names)
        with pytest.raises(UserError, match=f"does not exist.*datasets/prepare_{script}.py"):
            DatasetCatalog.get(f"{name}_val")
        vocabulary = get_vocabulary(f"{name}_val", trained_on=("coco_stuff_zs_train",))
        assert len(vocabulary) == len(EVALUATION_SETS[name])


# "cow" is trained under the prompt name "cattle"; "sofa" is hidden
FARM = Vocabulary(("cow", "car", "sofa"), ("cattle", "car", "sofa"), (True, True, False))


@pytest.fixture
def farm_and_street(folders: tuple[Path, Path]) -> None:
    register_zero_shot_split("farm_train", *folders, FARM, training=True)
    street = make_evaluation_classes(["Cattle", "auto", "sofa", "road"], {"auto": "car"})
    register_evaluation_set("street", *folders, street)


def test_evaluation_sets_take_seen_from_the_names_that_were_trained(farm_and_street) -> None:
    assert seen_names(["farm_train"]) == ("cow", "car", "cattle")
    assert is_cross_dataset("street", ["farm_train"])
    vocabulary = get_vocabulary("street", trained_on=["farm_train"])
    assert vocabulary.names == ("Cattle", "auto", "sofa", "road")
    assert vocabulary.prompt_names == ("Cattle", "car", "sofa", "road")
    assert vocabulary.seen == (True, True, False, False)
    plain = get_vocabulary("street", friendly=False, trained_on=["farm_train"])
    assert plain.prompt_names == plain.names
    assert plain.seen == vocabulary.seen  # what a class is called does not untrain it


def test_evaluation_sets_need_to_know_the_training(farm_and_street) -> None:
    for trained_on in ((), ("street",)):
        with pytest.raises(UserError, match="'street' is for evaluation only.*DATASETS.TRAIN"):
            get_vocabulary("street", trained_on=trained_on)
    with pytest.raises(UserError, match="'street' is for evaluation only"):
        seen_names(["farm_train", "street"])
    with pytest.raises(UserError, match="'nowhere' is not registered"):
        get_vocabulary("street", trained_on=["nowhere"])


def test_a_split_that_the_training_contradicts_is_cross_dataset(
    folders: tuple[Path, Path], farm_and_street
) -> None:
    same = Vocabulary(("car", "sofa"), ("car", "sofa"), (True, False))
    contaminated = Vocabulary(("car", "sofa"), ("car", "sofa"), (False, True))
    register_zero_shot_split("same", *folders, same, training=False)
    register_zero_shot_split("contaminated", *folders, contaminated, training=False)
    # a part of the training split's names, with the same flags, is still that split
    for name, crossed in (("farm_train", False), ("same", False), ("contaminated", True)):
        assert is_cross_dataset(name, ["farm_train"]) is crossed
        assert not is_cross_dataset(name, [])
    assert get_vocabulary("contaminated") == contaminated
    assert get_vocabulary("contaminated", trained_on=["farm_train"]).seen == (True, False)


def test_an_evaluation_set_is_not_redefined(folders: tuple[Path, Path], farm_and_street) -> None:
    with pytest.raises(UserError, match="registered already with another evaluation_classes"):
        register_evaluation_set("street", *folders, make_evaluation_classes(["road"]))
    with pytest.raises(UserError, match="256 classes"):
        many = make_evaluation_classes([f"class {k}" for k in range(256)])
        register_evaluation_set("many", *folders, many)


def test_unknown_name_lists_the_known_ones(folders: tuple[Path, Path]) -> None:
    register_zero_shot_split("pets", *folders, PETS, training=True)
    with pytest.raises(UserError, match="'pet' is not registered; registered are: pets"):
        get_vocabulary("pet")


def test_datasets_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", "/data")
    assert datasets_root() == "/data"
    monkeypatch.setenv("DETECTRON2_DATASETS", "")
    assert datasets_root() == "datasets"


def test_photo_lists_are_disjoint_and_sorted(checkout: Path) -> None:
    train, val = (read_stems(checkout / "datasets" / f"photos_{p}.txt") for p in ("train", "val"))
    assert (len(train), len(val)) == (80, 20)
    assert not set(train) & set(val)
    assert train == sorted(train) and val == sorted(val)


def test_values_of_the_label_files(folders: tuple[Path, Path]) -> None:
    values = {"dog": 7, "cat": 9}
    register_zero_shot_split("pets", *folders, PETS, training=True, label_values=values)
    assert [r["label_values"] for r in DatasetCatalog.get("pets")] == [(9, 7)] * 2
    register_zero_shot_split("pets", *folders, PETS, training=True, label_values=values)
    with pytest.raises(UserError, match="registered already with another label_values"):
        register_zero_shot_split("pets", *folders, PETS, training=True)
