"""tools/report.py as a user runs it: the page from two files with photos, and its errors."""

import json
import os
import sys

import numpy as np
import pytest
import report
from PIL import Image
from report_page.saved import read_evaluations
from saved_files import PETS, a_report, save_evaluation

from zsk.data.register import register_zero_shot_split
from zsk.errors import UserError

METRICS = "{0}/a/inference/pets/metrics.json"
PHOTO = ("--images", "one", "--predictions", "{0}/b/inference/pets")
SPLIT_FILE = ("--split-file", "{0}/split.yaml")


@pytest.fixture
def files(tmp_path):
    """Two evaluations with predictions, one photo "one" and its ground truth."""
    labels = np.array([[0, 1], [2, 255]], dtype=np.uint8)
    for name in ("a/inference/pets", "b/inference/pets", "labels"):
        save_evaluation(tmp_path / name, dataset="pets_val")
        Image.fromarray(labels).save(tmp_path / name / "one.png")
    save_evaluation(tmp_path / "birds", dataset="birds")
    save_evaluation(tmp_path / "seen", vocabulary="seen")
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.zeros((2, 2, 3), dtype=np.uint8)).save(tmp_path / "photos" / "one.jpg")
    split = {"name": "pets", "classes": ["cat", "dog", "cow"]}
    split["val"] = {"images": "photos", "labels": "labels"}
    (tmp_path / "split.yaml").write_text(json.dumps(split))
    return tmp_path


def test_two_files_with_photos_become_a_page(run_program, files):
    folders = [files / name / "inference" / "pets" for name in "ab"]
    done = run_program(
        "tools/report.py",
        *(folder / "metrics.json" for folder in folders),
        *("-o", files / "out" / "page", "--images", "one", "--predictions", *folders),
        *("--split-file", files / "split.yaml"),
    )
    assert done.returncode == 0, done.stderr
    page = files / "out" / "page" / "report.html"
    assert done.stdout.strip() == str(page)
    source = page.read_text()
    assert source.count("28.24") == 2 and source.count("data:image/") == 4 + 4
    assert (page.parent / "grid_1_one.png").exists()


@pytest.fixture
def run(monkeypatch, files):
    """Runs the tool's main in this process."""

    def call(*arguments):
        words = [str(argument).format(files) for argument in arguments]
        monkeypatch.setattr(sys, "argv", ["report.py", "-o", str(files / "out"), *words])
        report.main()

    return call


def test_ground_truth_with_values_of_its_own_is_read_as_the_data_set_is(run, files):
    """A file value is no joint id: 7 is a cat, 0 a dog."""
    folders = files / "photos", files / "labels"
    values = {"label_values": {"cat": 7, "dog": 0, "cow": 9}, "label_suffix": "_mask.png"}
    register_zero_shot_split("pets_val", *folders, PETS, training=False, **values)
    labels = np.array([[7, 0], [9, 3]], dtype=np.uint8)
    Image.fromarray(labels).save(files / "labels" / "one_mask.png")
    run(METRICS, *PHOTO)
    # the prediction is the label in joint ids: cat, dog, cow and none
    text = (files / "out" / "report.html").read_text()
    assert text.count("25.0 | 25.0 %") == 3


@pytest.mark.parametrize(
    "arguments, message",
    [
        (SPLIT_FILE, "--split-file has no use without --images"),
        (["--predictions", "x"], "--predictions has no use without --images"),
        (["--images", "one"], "each of the 1 metrics.json, in their order, but 0 were given"),
        *(
            (["--images", name, "--predictions", "x", *SPLIT_FILE], "no photo '.*' in pets_val")
            for name in ("two", "{0}/photos/one", "../photos/one", "")
        ),
        (PHOTO, "'pets_val' is not registered.*name the file .* in --split-file"),
        (["-o", "{0}/photos/one.jpg"], "--output .*photos/one.jpg cannot be written: File exists"),
        (["{0}/seen/metrics.json", "--images", "one", "--predictions", "x", "y"], "of all names"),
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


def test_classes_in_another_order_are_refused(run, files):
    """Or the names of the page would not be those of its pixels."""
    split = json.loads((files / "split.yaml").read_text())
    split["classes"] = ["dog", "cat", "cow"]
    (files / "split.yaml").write_text(json.dumps(split))
    with pytest.raises(UserError, match="classes of pets_val are not those of metrics.json"):
        run(METRICS, *PHOTO, *SPLIT_FILE)


@pytest.mark.parametrize(
    "folders, labels",
    [
        (("a/inference/pets", "b/inference/pets"), ["a", "b"]),
        (("a/inference/pets", "b/c/inference/birds"), ["a/inference/pets", "b/c/inference/birds"]),
        (("x", "x/x"), ["x", "x/x"]),
    ],
)
def test_labels_are_what_tells_the_folders_apart(tmp_path, folders, labels):
    paths = [save_evaluation(tmp_path / folder) for folder in folders]
    assert [saved.label for saved in read_evaluations(paths)] == labels
    with pytest.raises(UserError, match="is given twice"):
        read_evaluations([*paths, paths[0]])


@pytest.mark.parametrize(
    "text, problem",
    [
        (None, r"cannot be read \(No such file"),
        ('{"iteration": 0}\n{"iteration": 1}\n', "Extra data"),  # the log of training
        ('{"iteration": 0, "loss": 1.5}', "it has no 'dataset'"),
        (json.dumps(a_report(IoU=[1.0])), "its 'IoU' is of another kind"),
        (json.dumps(a_report(metrics={"hIoU": float("nan")})), "'hIoU' in its 'metrics'"),
        (json.dumps(a_report(unseen=["horse"])), "broken 'classes' or 'unseen'.*'horse' is no"),
        (json.dumps(a_report(classes=5)), "broken 'classes'"),
        (json.dumps(a_report(classes="cat")), "broken 'classes'"),
        (json.dumps(a_report(metrics={"hIoU": 10**400})), "'hIoU' .* is no percentage"),
        (json.dumps(a_report(metrics={"hIoU": True})), "'hIoU' .* is no percentage"),
        (json.dumps(a_report(classes=["\ud800"])), "is not what an evaluation writes"),
        ("[" * 100_000, "is not what an evaluation writes"),
        (json.dumps(a_report(classes=None)), r"does not say which .* evaluate again"),
        (json.dumps(a_report(IoU={"horse": 3.0})), "has an IoU of 'horse', which is none of its"),
    ],
)
def test_a_foreign_file_is_refused(tmp_path, text, problem):
    if text is not None:
        (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(UserError, match=rf"/metrics\.json .*{problem}"):
        read_evaluations([tmp_path / "metrics.json"])


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "metrics.json")
    with pytest.raises(UserError, match="not a regular file"):
        read_evaluations([tmp_path / "metrics.json"])


@pytest.mark.parametrize("conf", [np.zeros((3, 3), dtype=np.int64), np.array({"a": 1})])
def test_a_matrix_that_does_not_fit_is_refused(tmp_path, conf):
    path = save_evaluation(tmp_path, conf)
    with pytest.raises(UserError, match=r"confusion\.npy .*evaluate again"):
        read_evaluations([path])
