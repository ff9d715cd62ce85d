"""The whole check of a data set: counts by hand, and every planted fault named."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from faulty_data import FAULTS, NAMES, plant, write_data
from PIL import Image

from zsk.data.check import DatasetCheck, check_dataset
from zsk.data.check_report import class_table, contact_sheet, notes
from zsk.data.register import register_zero_shot_split
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

VOCABULARY = Vocabulary(NAMES, NAMES, (True, False, True))


@pytest.fixture
def check(tmp_path: Path) -> Iterator[Callable[..., DatasetCheck]]:
    def run(**options: object) -> DatasetCheck:
        settings = {"vocabulary": VOCABULARY, "training": True, **options}
        register_zero_shot_split("pets", tmp_path / "photos", tmp_path / "labels", **settings)
        return check_dataset("pets", progress=False)

    yield run
    DatasetCatalog.remove("pets")
    MetadataCatalog.remove("pets")


def test_counts(tmp_path: Path, check: Callable[..., DatasetCheck]) -> None:
    _, labels = write_data(tmp_path)
    Image.fromarray(np.array([[0, 0, 0, 2, 255, 255, 255, 255]] * 5, dtype=np.uint8)).save(
        labels / "a.png"
    )
    found = check()
    assert found.problems == []
    assert found.images == 4
    # a: 3 columns of cat, 1 of dog, 4 unlabelled, 5 rows each; b 40 pixels of cow, c 40 of dog
    assert found.class_pixels.tolist() == [15, 40, 45]
    assert found.class_images.tolist() == [1, 1, 2]
    assert found.ignored_pixels == 20 + 40
    assert found.all_ignore == 1
    assert [record["image_id"] for record in found.intact] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named(
    tmp_path: Path, check: Callable[..., DatasetCheck], fault: str
) -> None:
    photos, labels = write_data(tmp_path)
    plant(fault, photos, labels)
    (problem,) = check().problems
    assert re.search(FAULTS[fault], problem)
    assert "\n" not in problem


def test_all_problems_are_collected(tmp_path: Path, check: Callable[..., DatasetCheck]) -> None:
    photos, labels = write_data(tmp_path)
    (photos / "a.jpg").unlink()
    (photos / "b.jpg").write_bytes(b"no image")
    Image.new("RGB", (8, 5)).save(labels / "b.png")
    Image.new("L", (3, 5), 9).save(labels / "c.png")
    found = check()
    patterns = ("a.png has no image", "b.jpg cannot be read", "b.png holds colours", "c.png is 3×5")
    for problem, pattern in zip(found.problems, (*patterns, "c.png holds the id 9"), strict=True):
        assert pattern in problem
    assert [record["image_id"] for record in found.intact] == ["d"]


def test_labels_that_hold_nothing_at_all(
    tmp_path: Path, check: Callable[..., DatasetCheck]
) -> None:
    _, labels = write_data(tmp_path)
    for path in labels.iterdir():
        Image.new("L", (8, 5), 255).save(path)
    found = check()
    assert found.all_ignore == 4
    (problem,) = found.problems
    assert "no label in" in problem and "of any of the 3 classes" in problem


def test_values_without_a_class_are_counted(
    tmp_path: Path, check: Callable[..., DatasetCheck]
) -> None:
    write_data(tmp_path)  # values 0, 1, 2 and 255, 40 pixels each
    found = check(label_values={"cat": 2, "cow": 9, "dog": 0})
    assert found.problems == []
    assert found.class_pixels.tolist() == [40, 0, 40]
    assert found.ignored_pixels == 80
    assert found.all_ignore == 2
    assert np.flatnonzero(found.classless_values).tolist() == [1]
    assert "most of them 1 (40)" in notes(found)[-1]


def test_notes(tmp_path: Path, check: Callable[..., DatasetCheck]) -> None:
    _, labels = write_data(tmp_path)
    Image.new("L", (8, 5), 1).save(labels / "c.png")
    assert notes(check()) == [
        "1 of 4 images have no labelled pixel: training draws nothing from them, and evaluation "
        "leaves them out",
        "1 classes have no pixel: dog",
        "80 pixels are of unseen classes: training reads them as unlabelled",
    ]


def test_table(tmp_path: Path, check: Callable[..., DatasetCheck]) -> None:
    _, labels = write_data(tmp_path)
    Image.new("L", (8, 5), 1).save(labels / "c.png")
    lines = [re.sub(r"\s+", " ", line) for line in class_table(check()).splitlines()]
    assert lines[0] == "| class | group | images | pixels | share |"
    assert lines[2:] == [
        "| cat | seen | 1 | 40 | 25.00 % |",
        "| cow | unseen | 2 | 80 | 50.00 % |",
        "| (unlabelled) | | | 40 | 25.00 % |",
    ]


def test_a_sheet_shows_intact_pairs_only(
    tmp_path: Path, check: Callable[..., DatasetCheck]
) -> None:
    photos, labels = write_data(tmp_path)
    plant("size", photos, labels)
    found = check()
    one, three = contact_sheet(found, 1), contact_sheet(found, 99)  # a, c and d are intact
    assert one is not None and three is not None
    assert one.width < three.width and one.height < three.height
    # a's label is cat everywhere: id 0 has the palette's blue, over the photo in grey
    red, _, blue = np.asarray(one, dtype=float)[40:300, 520:900].mean(axis=(0, 1))
    assert blue > red + 50


def test_no_intact_pair_no_sheet(tmp_path: Path, check: Callable[..., DatasetCheck]) -> None:
    photos, labels = write_data(tmp_path)
    plant("empty", photos, labels)
    found = check()
    assert contact_sheet(found, 4) is None
    assert found.images == 0


def test_unknown_name() -> None:
    with pytest.raises(UserError, match="'nowhere' is not registered"):
        check_dataset("nowhere")
