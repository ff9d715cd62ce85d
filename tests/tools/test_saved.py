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
        (json.dumps(a_report(classes=None)), r"does not say which .* evaluate again"),
        (json.dumps(a_report(IoU={"horse": 3.0})), "has an IoU of 'horse', which is none of its"),
    ],
)
def test_a_foreign_file_is_refused(tmp_path, text, problem):
    if text is not None:
        (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(UserError, match=rf"/metrics\.json .*{problem}"):
        read_evaluations([tmp_path / "metrics.json"])


@pytest.mark.parametrize("conf", [np.zeros((3, 3), dtype=np.int64), np.array({"a": 1})])
def test_a_matrix_that_does_not_fit_is_refused(tmp_path, conf):
    path = save_evaluation(tmp_path, conf)
    with pytest.raises(UserError, match=r"confusion\.npy .*evaluate again"):
        read_evaluations([path])
