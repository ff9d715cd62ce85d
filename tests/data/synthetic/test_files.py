"""The world as files: listed, opened and measured as if they lay on disk."""

from pathlib import Path

import numpy as np
import pytest

from zsk.data.images import read_image, read_label, read_size
from zsk.data.listing import list_records
from zsk.data.synthetic import files
from zsk.data.synthetic.classes import CLASSES, OBJECTS
from zsk.data.synthetic.scene import SIDE, Scene
from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL


def records(image_root: str = "synthetic:val/photos", label_root: str = "synthetic:val/stuff"):
    return list_records(image_root, label_root, file_list=None, image_suffixes=(".jpg", ".png"))


def test_what_is_listed() -> None:
    found = records()
    assert len(found) == files.PARTS["val"][1]
    assert found[0] == {
        "file_name": "synthetic:val/photos/00000.png",
        "sem_seg_file_name": "synthetic:val/stuff/00000.png",
        "image_id": "00000",
    }
    train = records("synthetic:train/photos", "synthetic:train/objects")
    assert len(train) == files.PARTS["train"][1] and train[-1]["image_id"] == "02999"


@pytest.mark.parametrize("folder", ["test/photos", "val/depth", "val", "", "val/photos/more"])
def test_a_folder_that_is_none(folder: str) -> None:
    assert files.list_folder(f"synthetic:{folder}") == {}
    with pytest.raises(UserError, match="the folder of photos synthetic:.* does not exist"):
        records(f"synthetic:{folder}")


def test_a_file_shows_the_scene_of_its_part_and_number() -> None:
    seed, _ = files.PARTS["val"]
    expected = Scene(seed, 7).render()
    image = read_image("synthetic:val/photos/00007.png")
    assert image.dtype == np.uint8 and np.array_equal(image, expected.image)
    assert np.array_equal(read_label("synthetic:val/stuff/00007.png"), expected.classes)
    assert not np.array_equal(image, read_image("synthetic:train/photos/00007.png"))


def test_the_ground_of_objects_is_ignored() -> None:
    stuff = read_label("synthetic:train/stuff/00003.png")
    objects = read_label("synthetic:train/objects/00003.png")
    ground = stuff >= len(OBJECTS)
    assert ground.any() and not ground.all() and stuff.max() < len(CLASSES)
    assert (objects[ground] == IGNORE_LABEL).all()
    assert np.array_equal(objects[~ground], stuff[~ground])


def test_who_writes_into_an_image_changes_no_later_reading() -> None:
    for read, path in (
        (read_image, "synthetic:val/photos/00001.png"),
        (read_label, "synthetic:val/stuff/00001.png"),
    ):
        first = read(path)
        kept = first.copy()
        first[:] = 0
        assert np.array_equal(read(path), kept)


@pytest.mark.parametrize(
    "path",
    [
        "synthetic:val/photos/00100.png",  # one too far
        "synthetic:val/photos/7.png",
        "synthetic:val/photos/00007.jpg",
        "synthetic:val/photos/00007",
        "synthetic:test/photos/00007.png",
        "synthetic:",
    ],
)
def test_a_file_that_does_not_exist(path: str) -> None:
    with pytest.raises(FileNotFoundError, match=path):
        files.open_file(path)
    with pytest.raises(UserError) as raised:
        read_image(path)
    assert str(raised.value) == f"image {path} does not exist"


def test_the_size_is_known_without_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    def render(seed: int, number: int) -> None:
        raise AssertionError("rendered")

    monkeypatch.setattr(files, "_render", render)
    assert read_size("synthetic:val/photos/00000.png", "image") == (SIDE, SIDE)
    assert read_size("synthetic:val/stuff/00000.png", "label") == (SIDE, SIDE)
    with pytest.raises(AssertionError):  # so that the lines above mean something
        read_image("synthetic:val/photos/00000.png")


@pytest.mark.parametrize("path, expected", [("synthetic:x", True), ("data/synthetic:x", False)])
def test_which_paths_are_of_this_world(path: str, expected: bool, tmp_path: Path) -> None:
    assert files.is_synthetic(path) == expected
    assert not files.is_synthetic(str(tmp_path))
