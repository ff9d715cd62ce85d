"""Registering, pairing of files, the data sets of the project, vocabularies across data sets."""

from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from zsk.data.builtin import datasets_root, register_all
from zsk.data.labels import joint_id_table
from zsk.data.listing import read_stems
from zsk.data.register import register_zero_shot_split
from zsk.data.splits import EVALUATION_SETS, get_split, make_vocabulary
from zsk.data.vocabularies import classes_of_words, get_vocabulary, is_cross_dataset, trained_names
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

PETS = Vocabulary(("cat", "dog"), ("house cat", "dog"), (True, False))
# "cow" is trained under the prompt name "cattle"; "sofa" is unseen
FARM = Vocabulary(("cow", "car", "sofa"), ("cattle", "car", "sofa"), (True, True, False))
STREET = make_vocabulary(["Cattle", "auto", "sofa", "road"], (), {"auto": "car"})
ONLY = {"training": False, "evaluation_only": True}


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
    values = {"dog": 7, "cat": 9}
    register_zero_shot_split("pets", photos, labels, PETS, training=True, label_values=values)
    assert DatasetCatalog.get("pets") == [
        {
            "file_name": str(photos / image),
            "sem_seg_file_name": str(labels / label),
            "image_id": stem,
            "label_values": (9, 7),
        }
        for image, label, stem in (("a.jpg", "a.png", "a"), ("b.JPEG", "b.png", "b"))
    ]
    metadata = MetadataCatalog.get("pets")
    assert metadata.vocabulary == get_vocabulary("pets") == PETS and metadata.training is True
    assert (metadata.ignore_label, metadata.evaluator_type) == (255, "zero_shot")
    assert metadata.stuff_classes == ["cat", "dog"]
    assert (metadata.image_root, metadata.sem_seg_root) == (str(photos), str(labels))


def test_twice_is_once_but_redefining_is_refused(folders, tmp_path, monkeypatch) -> None:
    given = {"image_root": folders[0], "label_root": folders[1]}
    given |= {"vocabulary": PETS, "training": True}
    register_zero_shot_split("pets", **given)
    monkeypatch.chdir(tmp_path)  # the same folders, given otherwise, are equal arguments
    register_zero_shot_split("pets", **{**given, "image_root": "photos", "label_root": "labels/"})
    other = {"image_root": tmp_path, "label_root": tmp_path, "file_list": "list.txt"}
    other |= {"training": False, "evaluation_only": True, "label_values": {"cat": 1, "dog": 2}}
    other |= {"vocabulary": Vocabulary(PETS.names, PETS.names, PETS.seen)}
    for key, value in other.items():
        told = f"registered already with another {key.replace('label_root', 'sem_seg_root')}"
        with pytest.raises(UserError, match=f"'pets' is {told}"):
            register_zero_shot_split("pets", **{**given, key: value})


def test_vocabularies_that_do_not_suit(folders: tuple[Path, Path]) -> None:
    unseen = Vocabulary(("cat",), ("cat",), (False,))
    with pytest.raises(UserError, match="none of the 1 classes"):
        register_zero_shot_split("pets", *folders, unseen, training=True)
    with pytest.raises(UserError, match="label_orientation is 'up': choose displayed or stored"):
        register_zero_shot_split("up", *folders, PETS, training=False, label_orientation="up")


def test_a_missing_label_is_named_when_listing(folders: tuple[Path, Path]) -> None:
    (folders[1] / "b.png").unlink()
    register_zero_shot_split("pets", *folders, PETS, training=True, advice="do this")
    with pytest.raises(UserError, match="image .*b.JPEG has no label .*b.png: do this"):
        DatasetCatalog.get("pets")


def test_a_file_list_selects(folders: tuple[Path, Path], tmp_path: Path) -> None:
    stems = tmp_path / "list.txt"
    stems.write_bytes(b"b\r\n\r\n")
    (folders[0] / "a.jpg").unlink()  # not listed, so not missed
    register_zero_shot_split("pets", *folders, PETS, training=True, file_list=stems)
    assert [r["image_id"] for r in DatasetCatalog.get("pets")] == ["b"]
    for content, message in (
        ("b\nc\n", r"'c' in .*list.txt has no image c"),
        (" \n", "list.txt is empty"),
        ("a\nb\na\n", "list.txt names 'a' twice"),
    ):
        stems.write_text(content)
        with pytest.raises(UserError, match=message):
            DatasetCatalog.get("pets")
    with pytest.raises(UserError, match="none.txt cannot be read"):
        read_stems(tmp_path / "none.txt")


def test_the_data_sets_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", "")
    assert datasets_root() == "datasets"
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "nowhere"))
    register_all(datasets_root())
    register_all(datasets_root())
    assert get_vocabulary("voc_zs_val") == get_split("voc")
    plain = get_vocabulary("voc_zs_val", friendly=False)
    assert plain.prompt_names == plain.names == get_split("voc").names
    assert all(get_vocabulary("coco_stuff_supervised_train").seen)
    assert MetadataCatalog.get("coco_stuff_zs_train").training
    assert not MetadataCatalog.get("coco_stuff_zs_val").training
    for name, script in (
        ("voc_zs_train", "voc.py"),
        ("coco_stuff_zs_val", "coco_stuff.py"),
        ("synthetic_stuff_zs_val", "synthetic.py"),
        ("voc_20b_val", "voc.py"),
        ("pascal_context_59_val", "pascal_context.py --classes 59"),
        ("pascal_context_459_val", "pascal_context.py --classes 459"),
        ("ade20k_150_val", "ade20k.py"),
        ("ade20k_847_val", "ade20k.py --classes 847"),
        ("cityscapes_19_val", "cityscapes.py"),
    ):
        with pytest.raises(UserError, match=f"does not exist.*datasets/prepare_{script}`"):
            DatasetCatalog.get(name)
    for name in EVALUATION_SETS:
        vocabulary = get_vocabulary(f"{name}_val", trained_on=("coco_stuff_zs_train",))
        assert vocabulary.names == get_split(name).names
    with pytest.raises(UserError, match="'voc_zs_train' is registered already"):
        register_all(tmp_path)


@pytest.fixture
def farm_and_street(folders: tuple[Path, Path]) -> None:
    register_zero_shot_split("farm_train", *folders, FARM, training=True)
    register_zero_shot_split("street", *folders, STREET, **ONLY)


def test_seen_classes_of_an_evaluation_set_are_those_with_trained_names(farm_and_street) -> None:
    assert trained_names(["farm_train"]) == ("cow", "car", "cattle")
    assert is_cross_dataset("street", ["farm_train"])
    vocabulary = get_vocabulary("street", trained_on=["farm_train"])
    assert vocabulary.names == ("Cattle", "auto", "sofa", "road")
    assert vocabulary.prompt_names == ("Cattle", "car", "sofa", "road")
    assert vocabulary.seen == (True, True, False, False)
    plain = get_vocabulary("street", friendly=False, trained_on=["farm_train"])
    assert plain.prompt_names == plain.names and plain.seen == vocabulary.seen


def test_a_class_that_is_almost_a_trained_one_counts_as_untrained_with_a_warning(
    folders, farm_and_street, caplog
) -> None:
    assert get_vocabulary("street", trained_on=["farm_train"]) and not caplog.messages
    contaminated = Vocabulary(("car", "cows"), ("car", "cows"), (False, False))
    register_zero_shot_split("contaminated", *folders, contaminated, training=False)
    both = Vocabulary(("cow", "cows"), ("cow", "cows"), (False, False))
    register_zero_shot_split("both", *folders, both, training=False)
    assert get_vocabulary("both", trained_on=["farm_train"]).seen == (True, False)
    assert not caplog.messages  # two classes, which the data set tells apart
    assert get_vocabulary("contaminated", trained_on=["farm_train"]).seen == (True, False)
    (message,) = caplog.messages
    assert "'cows' of contaminated counts as untrained, but the trained 'cow' is" in message


def test_questions_about_data_sets_that_cannot_be_answered(farm_and_street) -> None:
    for trained_on in ((), ("street",)):
        with pytest.raises(UserError, match="'street' is for evaluation only.*DATASETS.TRAIN"):
            get_vocabulary("street", trained_on=trained_on)
    with pytest.raises(UserError, match="'street' is for evaluation only"):
        trained_names(["farm_train", "street"])
    with pytest.raises(UserError, match="'pet' is not registered; registered are: farm_train, str"):
        get_vocabulary("street", trained_on=["pet"])


def test_a_split_that_the_training_contradicts_is_cross_dataset(folders, farm_and_street) -> None:
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


def test_a_class_may_stand_for_words_that_a_model_is_asked_for(folders) -> None:
    """Each word is as seen as the model has it; the class itself has no name that is trained."""
    register_zero_shot_split("farm_train", *folders, FARM, training=True)
    things = make_vocabulary(["sofa", "background"])
    words = {"background": make_vocabulary(["car", "field"], prompt_names={"field": "a field"})}
    register_zero_shot_split("things", *folders, things, **ONLY, words=words)
    classes = get_vocabulary("things", trained_on=["farm_train"])
    assert classes.names == ("sofa", "background") and classes.seen == (False, False)
    asked = get_vocabulary("things", trained_on=["farm_train"], words=True)
    assert asked.names == ("sofa", "car", "field")
    assert asked.prompt_names == ("sofa", "car", "a field")
    assert asked.seen == (False, True, False)
    assert classes_of_words("things").tolist() == [0, 1, 1]
    assert classes_of_words("farm_train") is None
    assert get_vocabulary("farm_train", words=True) == FARM


def test_words_that_do_not_suit_are_refused(folders) -> None:
    things = make_vocabulary(["sofa", "background"])
    for words, told in (
        ({"backdrop": PETS}, "words are given for 'backdrop', which is not one of the classes"),
        ({"background": make_vocabulary(["sofa"])}, "'sofa' occurs twice"),
    ):
        with pytest.raises(UserError, match=told):
            register_zero_shot_split("things", *folders, things, **ONLY, words=words)
    with pytest.raises(UserError, match="the vocabulary of the data set 'things' has aliases"):
        aliases = Vocabulary.from_words("sofa|couch, background")
        register_zero_shot_split("things", *folders, aliases, training=False)
    with pytest.raises(UserError, match="'things' has words: only one for evaluation may"):
        register_zero_shot_split(
            "things", *folders, things, training=False, words={"background": PETS}
        )


def test_pas_20b_asks_for_the_59_classes_of_pascal_context(tmp_path: Path) -> None:
    register_all(tmp_path)
    for part in ("JPEGImages/a.jpg", "SegmentationClassAug/a.png"):
        (tmp_path / "VOC2012" / part).parent.mkdir(parents=True)
        (tmp_path / "VOC2012" / part).touch()
    (tmp_path / "VOC2012" / "val.txt").write_text("a\n")
    (record,) = DatasetCatalog.get("voc_20b_val")
    table = joint_id_table(record["label_values"])
    # VOC's files: 0 background, 1 aeroplane, 20 tvmonitor, 255 unlabelled
    assert table[[0, 1, 20, 255]].tolist() == [20, 0, 19, 255]
    asked = get_vocabulary("voc_20b_val", trained_on=["voc_zs_train"], words=True)
    assert set(asked.names) == set(get_split("pascal_context_59").names)
    assert classes_of_words("voc_20b_val").tolist() == [*range(20), *39 * [20]]


def test_lists_cover_the_photos(checkout: Path, real_data: Path) -> None:
    train, val = (read_stems(checkout / "datasets" / f"photos_{p}.txt") for p in ("train", "val"))
    labels = real_data / "coco" / "stuffthingmaps" / "train2017"
    photos = sorted(path.stem for path in labels.glob("*.png"))
    assert val == photos[4::5]  # every fifth: nobody chose what to hold out
    assert train == [stem for stem in photos if stem not in val]
