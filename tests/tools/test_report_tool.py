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

METRICS = "{0}/a/inference/pets/metrics.json"


@pytest.fixture
def files(tmp_path):
    """Two evaluations with predictions, one photo "one" and its ground truth."""
    labels = np.array([[0, 1], [2, 255]], dtype=np.uint8)
    for name in ("a/inference/pets", "b/inference/pets", "labels"):
        save_evaluation(tmp_path / name)
        Image.fromarray(labels).save(tmp_path / name / "one.png")
    save_evaluation(tmp_path / "birds", dataset="birds")
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.zeros((2, 2, 3), dtype=np.uint8)).save(tmp_path / "photos" / "one.jpg")
    return tmp_path


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
    assert (page.parent / "grid_one.png").exists()


@pytest.fixture
def run(monkeypatch, files):
    """Runs the tool's main in this process."""

    def call(*arguments):
        words = [str(argument).format(files) for argument in arguments]
        monkeypatch.setattr(sys, "argv", ["report.py", "-o", str(files / "out"), *words])
        report.main()

    return call


def test_photos_and_ground_truth_are_the_data_sets(run, files):
    vocabulary = Vocabulary(("cat", "dog", "cow"), ("cat", "dog", "cow"), (True, True, False))
    register_zero_shot_split("pets", files / "photos", files / "labels", vocabulary, training=False)
    run(METRICS, "--images", "one", "--predictions", files / "b" / "inference" / "pets")
    assert (files / "out" / "grid_one.png").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--photos", "x"], "--photos has no use without --images"),
        (["--images", "one"], "each of the 1 metrics.json, in their order, but 0 were given"),
        (["--images", "one", "--predictions", "x"], "'pets' is not registered.*both --photos and"),
        (["-o", "{0}/photos/one.jpg"], r"photos/one.jpg cannot be written \(File exists\)"),
        (
            ["{0}/birds/metrics.json", "--images", "one", "--predictions", "x", "y"],
            "make a page for each",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(run, files, arguments, message):
    with pytest.raises(UserError, match=message):
        run(METRICS, *arguments)
    assert not (files / "out").exists()
