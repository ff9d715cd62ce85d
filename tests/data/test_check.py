"""The check at start-up: what it finds without decoding all files, and its messages."""

import re
import shutil
from pathlib import Path

import pytest
from detectron2.data import MetadataCatalog
from faulty_data import FAULTS, IN_PIXELS, NAMES, plant, write_data
from PIL import Image

from zsk.data.builtin import register_all
from zsk.data.check import check_at_start, doubt_of, shared_photos
from zsk.data.register import register_zero_shot_split
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary


@pytest.fixture(autouse=True)
def pets(tmp_path: Path) -> tuple[Path, Path]:
    folders = write_data(tmp_path)
    vocabulary = Vocabulary(NAMES, NAMES, (True, False, True))
    register_zero_shot_split("pets", *folders, vocabulary, training=True)
    return folders


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - IN_PIXELS))
def test_a_planted_fault_stops_the_run(pets: tuple[Path, Path], fault: str) -> None:
    plant(fault, *pets)
    with pytest.raises(UserError) as raised:
        check_at_start(["pets"])
    assert re.search(FAULTS[fault], str(raised.value))


def test_further_problems_are_counted(pets: tuple[Path, Path]) -> None:
    check_at_start(["pets"])
    for stem in "abc":
        (pets[0] / f"{stem}.jpg").unlink()
    with pytest.raises(UserError, match=r"'pets' failed .*a.png has no image .* \(2 more prob"):
        check_at_start(["pets"])
    with pytest.raises(UserError, match="'nowhere' is not registered"):
        check_at_start(["nowhere"])


def test_test_photos_in_the_training_are_told(pets, tmp_path: Path) -> None:
    """By link and under another name of the folder, too; another file of the same name is none."""
    vocabulary = Vocabulary(NAMES, NAMES, (True, False, True))
    linked, others = tmp_path / "linked", tmp_path / "others"
    for folder in (linked, others):
        folder.mkdir()
    for stem in "abcd":
        shutil.copy(pets[0] / f"{stem}.jpg", others)
    (linked / "a.jpg").symlink_to(pets[0] / "a.jpg")
    for name, photos, stems in (
        ("same", pets[0], "abcd"),
        ("link", linked, "a"),
        ("new", others, "abcd"),
    ):
        listed = tmp_path / f"{name}.txt"
        listed.write_text("\n".join(stems))
        register_zero_shot_split(
            name, photos, pets[1], vocabulary, training=False, file_list=listed
        )
    assert shared_photos(["pets"], ["new"]) == []
    (told,) = shared_photos(["pets"], ["link", "new"])
    assert told.startswith("1 of the 1 photos of link are in pets, too, such as ")
    (told,) = shared_photos(["pets", "pets"], ["same"])
    assert told.startswith("4 of the 4 photos of same are in pets, too")


def test_values_that_are_hardly_ids(pets, tmp_path: Path, caplog) -> None:
    """Masks of 0 and 255 stop the run; classes counted from 1 are a warning."""
    for stem, value in zip("abcd", (0, 255, 255, 0)):
        Image.new("L", (8, 5), value).save(pets[1] / f"{stem}.png")
    with pytest.raises(UserError, match="'pets' failed .* only the values 0 and 255.*label_values"):
        check_at_start(["pets"])
    mask = Vocabulary(("lesion",), ("lesion",), (True,))
    register_zero_shot_split("mask", *pets, mask, training=True, label_values={"lesion": 255})
    check_at_start(["mask"])
    for stem, value in zip("abcd", (1, 2, 1, 255)):
        Image.new("L", (8, 5), value).save(pets[1] / f"{stem}.png")
    check_at_start(["pets"])
    assert "no label file holds the value 0, the first class" in caplog.text


def test_more_labels_are_read_before_a_warning(pets, tmp_path: Path, caplog) -> None:
    """The first class is on one photo of twelve, which is not among those that are read first."""
    for number in range(12):
        Image.new("RGB", (8, 5)).save(pets[0] / f"e{number:02}.jpg")
        Image.new("L", (8, 5), 1).save(pets[1] / f"e{number:02}.png")
    for stem in "abcd":
        (pets[0] / f"{stem}.jpg").unlink()
        (pets[1] / f"{stem}.png").unlink()
    classes = tuple(f"class {k}" for k in range(20))
    vocabulary = Vocabulary(classes, classes, (True,) * 20)
    register_zero_shot_split("many", *pets, vocabulary, training=True)
    check_at_start(["many"])
    assert "of 12 labels that were read: no label file holds the value 0" in caplog.text
    caplog.clear()
    Image.new("L", (8, 5), 0).save(pets[1] / "e01.png")
    check_at_start(["many"])
    assert not caplog.text


def test_the_share_of_unlabelled_pixels(pets) -> None:
    for stem, value in zip("abcd", (0, 255, 2, 255)):
        Image.new("L", (8, 5), value).save(pets[1] / f"{stem}.png")
    assert check_at_start(["pets"]) == {"pets": 0.5}


def test_pairs_in_sub_folders_are_told(pets, caplog) -> None:
    for root, suffix in zip(pets, (".jpg", ".png")):
        (root / "x").mkdir()
        (root / f"a{suffix}").rename(root / "x" / f"a{suffix}")
    (pets[0] / "x" / "alone.jpg").touch()
    check_at_start(["pets"])
    assert "1 photos with a label lie in sub-folders of" in caplog.text


def test_ids_that_a_program_has_prepared_are_not_doubted(tmp_path) -> None:
    """Few photos show an accordion, the first of Pascal Context's 459 classes."""
    register_all(tmp_path)
    assert doubt_of(MetadataCatalog.get("pascal_context_459_val"), {5, 8, 65535}) is None
    assert doubt_of(MetadataCatalog.get("coco_stuff_zs_val"), {5, 8, 255}) is not None
