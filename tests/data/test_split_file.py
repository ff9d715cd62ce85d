"""Split files: what they register, and a sentence with file and key for every mistake."""

from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from zsk.data.listing import match_files
from zsk.data.split_file import register_split_file
from zsk.data.vocabularies import get_vocabulary
from zsk.errors import UserError
from zsk.load import load_config
from zsk.vocabulary import Vocabulary

SPLIT = """
name: pets
train: {images: photos, labels: masks, file_list: lists/train.txt}
val: {images: val/photos, labels: val/masks}
classes: [cat, cow, dog]
unseen: [cow]
prompt_names: {cow: brown cow}
label_values: {dog: 3, cat: 1, cow: 2}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "split.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_everything_is_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, SPLIT)
    assert register_split_file(path) == ("pets_train", "pets_val")
    monkeypatch.chdir(tmp_path)
    register_split_file("split.yaml")  # again and by another path: nothing happens
    names = ("cat", "cow", "dog")
    expected = Vocabulary(names, ("cat", "brown cow", "dog"), (True, False, True))
    train, val = MetadataCatalog.get("pets_train"), MetadataCatalog.get("pets_val")
    assert get_vocabulary("pets_train") == get_vocabulary("pets_val") == expected
    assert (train.training, val.training) == (True, False)
    assert train.image_root == str(tmp_path / "photos")
    assert train.sem_seg_root == str(tmp_path / "masks")
    assert train.file_list == str(tmp_path / "lists" / "train.txt")
    assert (val.image_root, val.file_list) == (str(tmp_path / "val" / "photos"), None)
    assert train.label_values == val.label_values == (1, 2, 3)


def test_the_shortest_file_and_names_from_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cat\n\n dog \n")
    text = "name: few\nval: {images: /p, labels: /l}\nclasses: names.txt\nunseen: [dog]\n"
    assert register_split_file(write(tmp_path, text)) == ("few_val",)
    assert get_vocabulary("few_val").names == ("cat", "dog")
    metadata = MetadataCatalog.get("few_val")
    assert (metadata.image_root, metadata.label_values) == ("/p", None)


def test_keys_for_other_layouts_and_nothing_unseen(tmp_path: Path) -> None:
    """Photos and masks side by side in sub-folders, one class, no unseen one."""
    for file in ("x/a.webp", "x/a_mask.png", "y/b.TIF", "y/b_mask.png", ".old/c.bmp"):
        path = tmp_path / "all" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "names.txt").write_bytes(b"\xef\xbb\xbflesion\r\n")  # a byte order mark
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfy/b\r\n")
    text = """
name: side
val: {images: all, labels: all}
train: {images: all, labels: all, file_list: list.txt}
classes: names.txt
label_values: {lesion: 255}
label_suffix: _mask.png
sub_folders: yes
label_orientation: stored
"""
    assert register_split_file(write(tmp_path, text)) == ("side_train", "side_val")
    assert get_vocabulary("side_train") == Vocabulary(("lesion",), ("lesion",), (True,))
    first, second = DatasetCatalog.get("side_val")
    assert (first["image_id"], second["image_id"]) == ("x/a", "y/b")
    assert second["file_name"] == str(tmp_path / "all/y/b.TIF")
    assert second["sem_seg_file_name"] == str(tmp_path / "all/y/b_mask.png")
    assert second["label_values"] == (255,) and second["label_orientation"] == "stored"
    assert DatasetCatalog.get("side_train") == [second]


def test_an_image_suffix_tells_photos_from_labels(tmp_path: Path) -> None:
    for file in ("a_photo.png", "a_ids.png", "a_colours.png"):
        (tmp_path / file).touch()
    text = "name: city\nval: {images: ., labels: .}\nclasses: [road]\n"
    text += "image_suffix: _photo.png\nlabel_suffix: _ids.png\n"
    register_split_file(write(tmp_path, text))
    (record,) = DatasetCatalog.get("city_val")
    assert [Path(record[key]).name for key in ("file_name", "sem_seg_file_name")] == [
        *("a_photo.png", "a_ids.png")
    ]


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    for file in ("all/x/a.jpg", "all/x/a.png", "disk/b.jpg", "disk/b.png"):
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "all" / "linked").symlink_to(tmp_path / "disk")
    (tmp_path / "all" / "again").symlink_to(tmp_path / "disk")
    (tmp_path / "all" / "x" / "back").symlink_to(tmp_path / "all")
    (tmp_path / "disk" / "self").symlink_to(".")
    text = "name: deep\nval: {images: all, labels: all}\nclasses: [cat]\nimage_suffix: .jpg\n"
    register_split_file(write(tmp_path, text + "sub_folders: yes\n"))
    stems = [record["image_id"] for record in DatasetCatalog.get("deep_val")]
    assert stems == ["again/b", "linked/b", "x/a"]
    # without the key
    register_split_file(write(tmp_path, text.replace("deep", "flat")))
    with pytest.raises(UserError, match="no file ending in .jpg, but those below do: set sub_fold"):
        DatasetCatalog.get("flat_val")
    for name in ("c.jpg", "c.png"):
        (tmp_path / "all" / name).touch()
    records, mismatches, notes = match_files(MetadataCatalog.get("flat_val"))
    assert [record["image_id"] for record in records] == ["c"] and not mismatches
    assert notes == [
        f"3 photos with a label lie in sub-folders of {tmp_path}/all and do not count: for them, "
        "set sub_folders to yes in the split file"
    ]


def test_photos_and_labels_in_one_folder(tmp_path: Path) -> None:
    for name in ("a1.jpg", "a1.png"):
        (tmp_path / name).touch()
    text = "name: side\nval: {images: ., labels: .}\nclasses: [cat]\n"
    register_split_file(write(tmp_path, text))
    told = "share the stem 'a1': remove one; where one is the label .* set image_suffix"
    with pytest.raises(UserError, match=told):
        DatasetCatalog.get("side_val")
    told_suffix = text.replace("side", "told") + "image_suffix: .jpg\n"
    register_split_file(write(tmp_path, told_suffix))
    (record,) = DatasetCatalog.get("told_val")
    assert record["file_name"].endswith("a1.jpg")
    (tmp_path / "a1.jpg").unlink()
    with pytest.raises(UserError, match="a1.png would be a photo and its own label: set image_suf"):
        DatasetCatalog.get("side_val")


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("name: pets", "", "the key name is missing"),
        ("labels: masks, ", "", "the key train.labels is missing"),
        ("name: pets", "name: pets\nunsen: [cow]", "unknown key unsen: known are name, classes"),
        ("images: photos,", "images: photos, image: x,", "unknown key train.image: known are im"),
        ("name: pets", "name: 3", "key name is 3, but has to be a word"),
        ("name: pets", "name: my pets", "key name: 'my pets' may only hold"),
        ("[cat, cow, dog]", "{cat: 1}", r"key classes is \{'cat': 1\}, but has to be a list"),
        ("[cat, cow, dog]", "[cat, cow, no]", "key classes: entry 3 is False, not a name: quote"),
        ("[cat, cow, dog]", "none.txt", "key classes: .*none.txt cannot be read"),
        ("unseen: [cow]", "unseen: [zebra]", "the unseen classes list 'zebra', which is not"),
        ("unseen: [cow]", "unseen: [cow, cow]", "the unseen classes list 'cow' twice"),
        ("unseen: [cow]", "unseen: [cat, cow, dog]", "a split needs a seen class"),
        ("{cow: brown cow}", "{hen: red hen}", "the prompt names list 'hen', which is not"),
        ("{cow: brown cow}", "{cow: 7}", "key prompt_names.cow is 7, but has to be a text"),
        ("{cow: brown cow}", "[cow]", "key prompt_names is .* has to be a section"),
        ("dog: 3", "dog: x", "key label_values.dog is 'x', but has to be a whole number"),
        ("dog: 3", "dog: yes", "key label_values.dog is True"),
        ("{cow: brown cow}", "{off: x}", "key prompt_names has the key False, not a name: quote"),
        ("dog: 3", "dog: 2", "label_values gives 'dog' and 'cow' the same value 2"),
        ("dog: 3, ", "", "label_values has no value for the class 'dog'"),
        ("dog: 3", "dog: 3, hen: 4", "label_values has 'hen', which is not one of the classes"),
        ("dog: 3", "dog: 65536", "label_values gives 'dog' the value 65536: give one of 0–65535"),
        ("dog: 3", "dog: -1", "label_values gives 'dog' the value -1"),
        ("{images: photos, labels: masks, file_list: lists/train.txt}", "photos", "key train is"),
        ("images: photos,", "images: 5,", "key train.images is 5, but has to be a path"),
        (SPLIT, "- a list", "it holds no keys"),
        ("name: pets", "name: pets\nsub_folders: 3", "key sub_folders is 3, but has to be yes or"),
        ("name: pets", "name: pets\nlabel_suffix: 3", "key label_suffix is 3, but has to be a"),
        ("name: pets", "name: pets\nlabel_suffix: ''", "key label_suffix is empty"),
        ("name: pets", "name: pets\nlabel_orientation: up", "label_orientation is 'up': choose"),
        ("{dog: 3, cat: 1, cow: 2}", "", "key label_values is None, but has to be a section"),
    ],
)
def test_a_mistake_names_the_file_and_the_key(tmp_path, old, new, message) -> None:
    assert old in SPLIT
    with pytest.raises(UserError, match=f"^split file .*split.yaml: {message}") as raised:
        register_split_file(write(tmp_path, SPLIT.replace(old, new)))
    assert "\n" not in str(raised.value)


def test_a_date_is_a_name(tmp_path: Path) -> None:
    dated = SPLIT.replace("dog", "2024-05-06")
    register_split_file(write(tmp_path, dated))
    assert get_vocabulary("pets_val").names == ("cat", "cow", "2024-05-06")


def test_mistakes_outside_of_the_keys(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="split file .*none.yaml: the file does not exist"):
        register_split_file(tmp_path / "none.yaml")
    text = "name: a\nclasses: [cat, dog]\nunseen: [dog]\n"
    with pytest.raises(UserError, match="keys train and val are both missing"):
        register_split_file(write(tmp_path, text))
    register_split_file(write(tmp_path, SPLIT))
    with pytest.raises(UserError, match="photos does not exist: .*train.images .*split.yaml"):
        DatasetCatalog.get("pets_train")
    with pytest.raises(UserError, match="split.yaml: .*'pets_train' is registered already"):
        register_split_file(write(tmp_path, SPLIT.replace("brown cow", "red cow")))


def test_a_path_on_the_command_line_is_relative_to_where_one_is(tmp_path, monkeypatch) -> None:
    """One in a configuration is relative to that: tests/e2e/test_own_data.py."""
    write(tmp_path, SPLIT)
    config = tmp_path / "configs" / "train.yaml"
    config.parent.mkdir()
    config.write_text("VERSION: 2\n")
    monkeypatch.chdir(tmp_path)
    options = ["DATASETS.SPLIT_FILE", "split.yaml", "DATASETS.TRAIN", "('pets_train',)"]
    cfg = load_config(str(config), options)
    assert Path(cfg.DATASETS.SPLIT_FILE).resolve() == tmp_path / "split.yaml"
    assert get_vocabulary(cfg.DATASETS.TRAIN[0]).names == ("cat", "cow", "dog")
