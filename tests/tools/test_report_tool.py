"""tools/report.py as a user runs it: the page from two files with photos, and its errors."""

import sys

import numpy as np
import pytest
import report
from PIL import Image
from saved_files import save_evaluation

from zsk.data.register import register_zero_shot_split
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two evaluations with predictions, one photo "one" and its ground truth."""
    root = tmp_path_factory.mktemp("report")
    labels = np.array([[0, 1], [2, 255]], dtype=np.uint8)
    for name in ("a/inference/pets", "b/inference/pets"):
        save_evaluation(root / name)
        Image.fromarray(labels).save(root / name / "one.png")
    for folder in ("photos", "labels"):
        (root / folder).mkdir()
    Image.fromarray(np.zeros((2, 2, 3), dtype=np.uint8)).save(root / "photos" / "one.jpg")
    Image.fromarray(labels).save(root / "labels" / "one.png")
    return root


def test_two_files_with_photos_become_a_page(run_program, files):
    folders = [files / name / "inference" / "pets" for name in "ab"]
    done = run_program(
        "tools/report.py",
        *(folder / "metrics.json" for folder in folders),
        *("-o", files / "out" / "page", "--images", "one", "--predictions", *folders),
        *("--photos", files / "photos", "--labels", files / "labels"),
    )
    assert done.returncode == 0, done.stderr
    page = files / "out" / "page" / "report.html"
    assert done.stdout.strip() == str(page)
    source = page.read_text()
    assert source.count("28.24") == 2 and source.count("data:image/") == 4 + 4
    assert {path.name for path in page.parent.iterdir()} == {
        "report.html",
        *(f"{kind}_{n}.png" for kind in ("per_class_iou", "confusion") for n in (1, 2)),
        "grid_one.png",
    }


def test_a_mistake_is_one_sentence(run_program, files, tmp_path):
    metrics = files / "a" / "inference" / "pets" / "metrics.json"
    options = ("-o", tmp_path / "out", "--images", "one", "--predictions", files)
    done = run_program("tools/report.py", metrics, *options)
    assert done.returncode == 2
    assert "'pets' is not registered" in done.stderr and "both --photos and" in done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.fixture
def run(monkeypatch):
    """Runs the tool's main in this process."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["report.py", *map(str, arguments)])
        report.main()

    return call


def test_photos_and_ground_truth_are_the_data_sets(run, files, tmp_path):
    vocabulary = Vocabulary(("cat", "dog", "cow"), ("cat", "dog", "cow"), (True, True, False))
    register_zero_shot_split("pets", files / "photos", files / "labels", vocabulary, training=False)
    folder = files / "a" / "inference" / "pets"
    run(folder / "metrics.json", "-o", tmp_path, "--images", "one", "--predictions", folder)
    assert (tmp_path / "grid_one.png").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--photos", "x"], "--photos has no use without --images"),
        (["--predictions", "x"], "--predictions has no use without --images"),
        (["--images", "one"], "each of the 1 metrics.json, in their order, but 0 were given"),
        (["-o", "{}/photos/one.jpg"], r"photos/one.jpg cannot be written \(File exists\)"),
        (
            ["--images", "one", "--predictions", "x", "--photos", "y", "--labels", "z"],
            r"there is no photo one .* in y",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(run, files, tmp_path, arguments, message):
    metrics = files / "a" / "inference" / "pets" / "metrics.json"
    arguments = [argument.format(files) for argument in arguments]
    with pytest.raises(UserError, match=message):
        run("-o", tmp_path / "out", metrics, *arguments)
    assert not (tmp_path / "out").exists()


def test_photos_of_two_data_sets_are_refused(run, files, tmp_path):
    other = save_evaluation(tmp_path / "birds", dataset="birds")
    metrics = files / "a" / "inference" / "pets" / "metrics.json"
    with pytest.raises(UserError, match="make a page for each"):
        run(metrics, other, "-o", tmp_path, "--images", "one", "--predictions", "x", "y")
