"""`zsk check`: counts by hand, every planted fault named, the sheet, wrong calls."""

import re
from pathlib import Path

import numpy as np
import pytest
from faulty_data import FAULTS, NAMES, plant, write_data
from PIL import Image

from zsk.cli import check as program
from zsk.data.check_report import class_table, contact_sheet, notes
from zsk.data.full_check import DatasetCheck, check_dataset
from zsk.data.register import register_zero_shot_split
from zsk.data.splits import make_vocabulary
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

SPLIT = """
name: pets
train: {images: photos, labels: labels}
val: {images: photos, labels: labels}
classes: [cat, cow, dog]
unseen: [cow]
"""


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "split.yaml").write_text(SPLIT)
    return write_data(tmp_path)


@pytest.fixture
def check(data):
    def run(**options: object) -> DatasetCheck:
        vocabulary = Vocabulary(NAMES, NAMES, (True, False, True))
        register_zero_shot_split("pets", *data, vocabulary, training=True, **options)
        return check_dataset("pets")

    return run


def test_counts(data, check) -> None:
    columns = [0, 0, 0, 2, 255, 255, 255, 255]
    Image.fromarray(np.array([columns] * 5, dtype=np.uint8)).save(data[1] / "a.png")
    found = check()
    assert found.problems == [] and found.images == 4
    # a: 3 columns of cat, 1 of dog, 4 unlabelled, 5 rows each; b 40 pixels of cow, c 40 of dog
    assert found.class_pixels.tolist() == [15, 40, 45]
    assert found.class_images.tolist() == [1, 1, 2]
    assert (found.ignored_pixels, found.all_ignore) == (20 + 40, 1)
    assert [record["image_id"] for record in found.intact] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named(data, check, fault: str) -> None:
    plant(fault, *data)
    (problem,) = check().problems
    assert re.search(FAULTS[fault], problem) and "\n" not in problem


@pytest.mark.parametrize(
    "values, told",
    [
        ((0, 255, 255, 0), "labels: the label files hold only the values 0 and 255"),
        ((2, 2, 255, 2), "labels: the label files hold only the values 2 and 255"),
        ((1, 2, 1, 2), "labels: no label file holds the value 0, the first class"),
    ],
)
def test_values_that_are_hardly_ids_are_a_problem(data, check, values, told: str) -> None:
    for stem, value in zip("abcd", values):
        Image.new("L", (8, 5), value).save(data[1] / f"{stem}.png")
    (problem,) = check().problems
    assert told in problem and "label_values" in problem


def test_observations_that_may_be_right_are_notes(data) -> None:
    """The first class never occurs, but few classes do; and a pair in a sub-folder."""
    for stem in "abc":
        Image.new("L", (8, 5), 3).save(data[1] / f"{stem}.png")
    for root, suffix in zip(data, (".jpg", ".png")):
        (root / "x").mkdir()
        (root / f"d{suffix}").rename(root / "x" / f"d{suffix}")
    names = tuple(f"class {k}" for k in range(9))
    vocabulary = Vocabulary(names, names, (True,) * 9)
    register_zero_shot_split("few", *data, vocabulary, training=True)
    found = check_dataset("few")
    first, second = notes(found)[:2]
    assert found.problems == [] and found.images == 3
    assert first.startswith("WARNING: 1 photos with a label lie in sub-folders of")
    assert "WARNING: " in second and "no label file holds the value 0, the first class" in second


def test_one_class_is_a_warning(data) -> None:
    one = Vocabulary(("cat",), ("cat",), (True,))
    register_zero_shot_split("one", *data, one, training=True, label_values={"cat": 255})
    found = check_dataset("one")
    assert found.problems == [] and "WARNING: there is only one class" in notes(found)[-2]


def test_values_without_a_class_are_counted(check) -> None:
    # the files hold 0, 1, 2 and 255, 40 pixels each
    found = check(label_values={"cat": 2, "cow": 9, "dog": 0})
    assert found.problems == [] and found.class_pixels.tolist() == [40, 0, 40]
    assert (found.ignored_pixels, found.all_ignore) == (80, 2)
    assert np.flatnonzero(found.classless_values).tolist() == [1]
    assert "most of them 1 (40)" in notes(found)[-1]


def test_labels_that_hold_nothing_at_all(data, check) -> None:
    for path in data[1].iterdir():
        Image.new("L", (8, 5), 255).save(path)
    found = check()
    assert found.all_ignore == 4
    (problem,) = found.problems
    assert "no label in" in problem and "of any of the 3 classes" in problem


def test_table_and_notes(data, check) -> None:
    Image.new("L", (8, 5), 1).save(data[1] / "c.png")
    found = check()
    lines = [re.sub(r"\s+", " ", line) for line in class_table(found).splitlines()]
    assert lines[2:] == [
        "| cat | seen | 1 | 40 | 25.00 % |",
        "| cow | unseen | 2 | 80 | 50.00 % |",
        "| (unlabelled) | | | 40 | 25.00 % |",
    ]
    patterns = (
        "1 of 4 images have no labelled pixel",
        "no pixel: dog",
        "WARNING: 1 seen classes never occur, so training learns nothing of them",
        "80 pixels are of unseen",
    )
    for note, pattern in zip(notes(found), patterns, strict=True):
        assert pattern in note


def test_a_sheet_shows_intact_pairs_only(data, check) -> None:
    plant("size", *data)
    found = check()
    one, three = contact_sheet(found, 1), contact_sheet(found, 99)  # a, c and d are intact
    assert one.width < three.width and one.height < three.height
    # a's label is cat everywhere, blue
    red, _, blue = np.asarray(one, dtype=float)[40:300, 520:900].mean(axis=(0, 1))
    assert blue > red + 50
    found.intact.clear()
    assert contact_sheet(found, 4) is None


def test_a_split_file_and_its_sheets(run_program, data, tmp_path: Path) -> None:
    sheet = tmp_path / "out" / "sheet.png"
    words = ("--split-file", tmp_path / "split.yaml", "--sheet", sheet)
    done = run_program("tools/check_dataset.py", *words)
    assert done.returncode == 0, done.stderr
    assert "error: " not in done.stderr
    assert "pets_train: 4 images" in done.stdout and "pets_val: 4 images" in done.stdout
    assert done.stdout.endswith("no problems in pets_train, pets_val\n")
    names = sorted(path.name for path in sheet.parent.iterdir())
    assert names == ["sheet_pets_train.png", "sheet_pets_val.png"]
    assert "4/4" in done.stderr  # the bar


def test_a_fault_is_exit_code_1(data, tmp_path: Path, capsys) -> None:
    plant("colours", *data)
    plant("truncated", *data)
    config = tmp_path / "train.yaml"
    config.write_text("VERSION: 2\nDATASETS: {SPLIT_FILE: split.yaml, TRAIN: ['pets_train']}\n")
    assert program.main(["--config-file", str(config)]) == 1
    told = capsys.readouterr()
    assert "photos/b.jpg cannot be read" in told.err and "labels/b.png holds colours" in told.err
    assert "| cat " in told.out and "2 problems in pets_train" in told.out


@pytest.mark.parametrize("names, second", [("cat, cow, dog", "cow"), ("", "id 1")])
def test_folders(data, names: str, second: str, capsys) -> None:
    folders = ["--images", str(data[0]), "--labels", str(data[1])]
    assert program.main([*folders, "--class-names", names]) == 0
    assert re.search(rf"\| {second} +\| - +\|", capsys.readouterr().out)


def test_a_set_for_evaluation_only_has_no_groups_of_its_own(data) -> None:
    """Which of its classes are seen depends on the model."""
    classes = make_vocabulary(NAMES)
    register_zero_shot_split("eval", *data, classes, training=False, evaluation_only=True)
    lines = class_table(check_dataset("eval")).splitlines()
    assert [line.split("|")[2].strip() for line in lines[2:5]] == ["-", "-", "-"]


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "name a data set"),
        (["--images", "x"], "go together"),
        (["--class-names", "cat, dog"], "--class-names needs --images"),
        (["voc_zs_val", "--workers", "0"], "1 or more"),
        (["voc_zs_val", "--sheet", "sheet"], "--sheet sheet has to end in .png"),
    ],
)
def test_a_wrong_call_is_exit_code_2(arguments: list[str], words: str, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        program.main(arguments)
    assert stop.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--images", "no/photos", "--labels", "."], "--images no/photos is not a folder"),
        (["--config-file", "{}/empty.yaml"], "empty.yaml names no data set"),
    ],
)
def test_what_is_not_there_is_named(arguments: list[str], words: str, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("VERSION: 2\n")
    with pytest.raises(UserError, match=words):
        program.main([word.format(tmp_path) for word in arguments])
