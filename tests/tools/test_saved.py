"""Reading evaluations back, and one sentence for every file that is no evaluation's."""

import json

import numpy as np
import pytest
from report_page.saved import read_evaluations
from saved_files import CONFUSION, a_report, save_evaluation

from zsk.errors import UserError


def test_everything_in_the_files_comes_back(tmp_path):
    (saved,) = read_evaluations([save_evaluation(tmp_path / "inference" / "pets")])
    assert (saved.label, saved.dataset, saved.images) == ("pets", "pets", 2)
    assert saved.vocabulary.names == ("cat", "dog", "cow")
    assert saved.vocabulary.seen == (True, True, False)
    assert saved.metrics["hIoU"] == 28.24 and saved.iou["cow"] == saved.acc["cow"] == 20.0
    assert np.array_equal(saved.conf, CONFUSION)
    assert saved.provenance["config_hash"] == "c0ffee"
    assert len(saved.written) == len("2026-01-31")


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


def test_renamed_files_in_one_folder_do_not_share_its_matrix(tmp_path):
    first = save_evaluation(tmp_path)
    (tmp_path / "other.json").write_text(first.read_text())
    one, other = read_evaluations([first, tmp_path / "other.json"])
    assert (one.label, other.label) == ("metrics", "other")
    assert one.conf is not None and other.conf is None


def test_paths_that_do_not_fit_are_refused(tmp_path):
    path = save_evaluation(tmp_path / "a")
    with pytest.raises(UserError, match="is given twice"):
        read_evaluations([path, tmp_path / "a" / ".." / "a" / "metrics.json"])
    with pytest.raises(UserError, match=r"nowhere/metrics\.json cannot be read \(No such file"):
        read_evaluations([tmp_path / "nowhere" / "metrics.json"])
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\): give OUTPUT_DIR"):
        read_evaluations([tmp_path])


@pytest.mark.parametrize(
    "text, problem",
    [
        ('{"iteration": 0}\n{"iteration": 1}\n', "Extra data"),  # the log of training
        ('{"iteration": 0, "loss": 1.5}', "it has no 'dataset'"),
        ("[]", "holds no table"),
        (json.dumps(a_report(IoU=[1.0])), "its 'IoU' is of another kind"),
        (json.dumps(a_report(metrics={"hIoU": float("nan")})), "'hIoU' in its 'metrics'"),
        (json.dumps(a_report(Acc={"cat": "good"})), "'cat' in its 'Acc' is no number"),
    ],
)
def test_a_foreign_file_is_refused(tmp_path, text, problem):
    path = tmp_path / "metrics.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"metrics\.json is not what an evaluation") as error:
        read_evaluations([path])
    assert problem in str(error.value) and "give OUTPUT_DIR/inference" in str(error.value)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"unseen": ["horse"]}, "broken 'classes' or 'unseen'.*'horse' is no class"),
        ({"classes": ["cat", "cat"], "unseen": []}, "broken 'classes'"),
        ({"classes": [1, 2, 3], "unseen": []}, "broken 'classes'"),
        ({"classes": 5}, "broken 'classes'"),
        ({"classes": None}, r"metrics\.json does not say which .* evaluate again"),
        ({"IoU": {"horse": 3.0}}, "has an IoU of 'horse', which is none of its classes"),
    ],
)
def test_classes_that_do_not_fit_are_refused(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        read_evaluations([save_evaluation(tmp_path, **changes)])


@pytest.mark.parametrize("conf", [np.zeros((3, 3), dtype=np.int64), np.array({"a": 1}), None])
def test_a_matrix_that_does_not_fit_is_refused(tmp_path, conf):
    path = save_evaluation(tmp_path, conf)
    if conf is None:
        (tmp_path / "confusion.npy").write_bytes(b"")
    with pytest.raises(UserError, match=r"confusion\.npy .*evaluate again"):
        read_evaluations([path])
