"""`tools/evaluate_common_names.py`: which names are kept, and a count that no data set has."""

from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from evaluate_common_names import register_subset
from PIL import Image

from zsk.data.labels import read_joint_label
from zsk.data.register import register_zero_shot_split
from zsk.data.vocabularies import is_cross_dataset
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary


@pytest.fixture
def pets(tmp_path: Path) -> str:
    """Four names: dog on two photos, cat on one, cow on too few pixels, hen on none."""
    photos, labels = tmp_path / "photos", tmp_path / "labels"
    for folder in (photos, labels):
        folder.mkdir()
    first, second = np.full((20, 20), 2, np.uint8), np.full((20, 20), 2, np.uint8)
    first[:5], second[0, 0] = 0, 1
    for name, label in (("a", first), ("b", second)):
        Image.new("RGB", (20, 20)).save(photos / f"{name}.jpg")
        Image.fromarray(label).save(labels / f"{name}.png")
    names = ("cat", "cow", "dog", "hen")
    vocabulary = Vocabulary(names, names, (True, False, True, True))
    register_zero_shot_split("pets_val", photos, labels, vocabulary, training=False, advice="run x")
    return "pets_val"


def test_the_commonest_names_are_kept(pets: str) -> None:
    name = register_subset(pets, 1)
    assert name == "pets_val_1_names" and MetadataCatalog.get(name).vocabulary.names == ("dog",)
    kept = read_joint_label(DatasetCatalog.get(name)[0])
    assert (kept[:5] == 255).all() and (kept[5:] == 0).all()
    # the same files with values of their own: 2 is a cat
    metadata = MetadataCatalog.get(pets)
    register_zero_shot_split(
        "values_val", metadata.image_root, metadata.sem_seg_root, metadata.vocabulary,
        training=False, label_values={"cat": 2, "cow": 1, "dog": 0, "hen": 9},
    )  # fmt: skip
    name = register_subset("values_val", 1)
    assert MetadataCatalog.get(name).vocabulary.names == ("cat",)
    assert np.array_equal(read_joint_label(DatasetCatalog.get(name)[0]), kept)


def test_other_files_in_the_folder_do_not_count(pets: str, tmp_path: Path) -> None:
    for name in "cdef":  # labels without a photo: of another part of the data
        Image.new("L", (20, 20), 3).save(tmp_path / "labels" / f"{name}.png")
        Image.new("RGB", (20, 20)).save(tmp_path / "photos" / f"{name}.jpg")
    listed = tmp_path / "list.txt"
    listed.write_text("a\nb\n")
    metadata = MetadataCatalog.get(pets)
    register_zero_shot_split(
        "two_val", tmp_path / "photos", tmp_path / "labels", metadata.vocabulary,
        training=False, file_list=listed,
    )  # fmt: skip
    name = register_subset("two_val", 1)
    assert MetadataCatalog.get(name).vocabulary.names == ("dog",)


def test_names_across_data_sets_stay_so(pets: str, tmp_path: Path) -> None:
    """Seen is what the model was trained on, and no hIoU is made of it."""
    names = ("dog", "sky")
    vocabulary = Vocabulary(names, names, (True, True))
    register_zero_shot_split("other", tmp_path, tmp_path, vocabulary, training=True)
    name = register_subset(pets, 2, ["other"])
    assert is_cross_dataset(pets, ["other"]) and is_cross_dataset(name, ["other"])


def test_labels_that_are_not_there(pets: str, tmp_path: Path) -> None:
    for path in (tmp_path / "labels").iterdir():
        Image.new("L", (20, 20), 255).save(path)
    with pytest.raises(
        UserError, match="none of the 2 labels in .*labels shows a name of pets_val"
    ):
        register_subset(pets, 1)
    for path in (tmp_path / "labels").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="labels of pets_val .*labels holds no file .*.png: run x"):
        register_subset(pets, 1)
    with pytest.raises(UserError, match="'nowhere' is not registered"):
        register_subset("nowhere", 1)


def test_labels_that_the_evaluation_refuses(pets: str, tmp_path: Path) -> None:
    """Or classes that are counted from 1 would all get their neighbour's name."""
    Image.new("L", (20, 20), 4).save(tmp_path / "labels" / "b.png")
    with pytest.raises(UserError, match="b.png holds the id 4, but the vocabulary's ids are 0–3"):
        register_subset(pets, 1)


def test_photos_to_count_need_labels(pets: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "labels" / "b.png").rename(tmp_path / "other" / "b.png")
    listed = tmp_path / "list.txt"
    listed.write_text("a")
    folders, names = (tmp_path / "photos", tmp_path / "other"), ("dog",)
    vocabulary = Vocabulary(names, names, (True,))
    (tmp_path / "other" / "a.png").write_bytes((tmp_path / "labels" / "a.png").read_bytes())
    register_zero_shot_split("both_val", *folders, vocabulary, training=False)
    metadata = MetadataCatalog.get(pets)
    register_zero_shot_split(
        "one_val", metadata.image_root, metadata.sem_seg_root, metadata.vocabulary,
        training=False, file_list=listed,
    )  # fmt: skip
    assert register_subset("one_val", 1) == "one_val_1_names"
    with pytest.raises(UserError, match="1 of the 2 photos to count have no label in .*labels, b "):
        register_subset("one_val", 1, counted=["both_val"])


@pytest.mark.parametrize("count", [0, -1, 3])
def test_a_count_that_cannot_be(pets: str, count: int) -> None:
    with pytest.raises(UserError, match=f"--count {count}, but 2 names of pets_val cover 0.5%"):
        register_subset(pets, count)
