"""The evaluator on label PNGs of a few pixels, from files to metrics.json."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.evaluation.testing import flatten_results_dict
from label_records import NAME, VOCABULARY, label_record

from zsk.data.register import register_zero_shot_split
from zsk.data.splits import make_vocabulary
from zsk.errors import UserError
from zsk.evaluation.report import git_revision
from zsk.evaluation.zero_shot_evaluator import ZeroShotEvaluator
from zsk.protocol import INDUCTIVE, LEAK, TRANSDUCTIVE
from zsk.vocabulary import Vocabulary


def pair(folder, stem, gt, pred, vocabulary=VOCABULARY):
    """A mapped record whose label PNG holds `gt`, and the model's output for it."""
    record = label_record(folder, stem, gt, vocabulary)
    return record, {"pred_labels": torch.tensor(pred, dtype=torch.int64)}


def evaluate(pairs, output_dir=None, run_info=None):
    evaluator = ZeroShotEvaluator(NAME, output_dir, run_info=run_info)
    for record, output in pairs:
        evaluator.process([record], [output])
    return evaluator.evaluate()


def test_the_protocol_is_told_in_the_log_and_in_the_report(dataset, caplog):
    for protocol, words in (
        (INDUCTIVE, f"{NAME}\n|"),
        (TRANSDUCTIVE, f"{NAME}, transductive (self-training on pixels without labels)\n|"),
        (LEAK, f"{NAME}, {LEAK}\n|"),
    ):
        caplog.clear()
        evaluator = ZeroShotEvaluator(NAME, dataset / "out", protocol=protocol)
        record, output = pair(dataset, "one", [[0, 1], [2, 255]], [[0, 1], [2, 0]])
        evaluator.process([record], [output])
        with caplog.at_level(logging.INFO, "zsk"):
            evaluator.evaluate()
        assert sum(words in message for message in caplog.messages) == 2
        report = json.loads((dataset / "out" / "metrics.json").read_text())
        assert report["protocol"] == protocol


def test_from_label_files_to_report(dataset):
    pairs = [
        pair(dataset, "one", [[0, 0], [2, 255]], [[0, 1], [2, 0]]),
        pair(dataset, "two", [[1, 1, 2]], [[1, 1, 1]]),
        pair(dataset, "blank", [[255]], [[0]]),
    ]
    out = dataset / "report" / "nested"
    results = evaluate(pairs, str(out), {"config_hash": "c0ffee", "seed": 7})
    # cat 1 of 2; dog 2 hits, 2 true, 4 predicted; cow 1 of 2
    numbers = results["sem_seg"]
    assert numbers["mIoU-seen"] == numbers["mIoU-unseen"] == numbers["hIoU"] == 50.0
    assert numbers["pAcc"] == pytest.approx(400 / 6)
    assert numbers["IoU-dog"] == 50.0 and numbers["Acc-dog"] == 100.0
    assert all(type(value) is float for value in flatten_results_dict(results).values())

    report = json.loads((out / "metrics.json").read_text())
    assert (report["dataset"], report["cross_dataset"]) == (NAME, False)
    assert report["metrics"]["hIoU"] == 50.0
    assert report["IoU"] == {"cat": 50.0, "cow": 50.0, "dog": 50.0}
    assert report["Acc"] == {"cat": 50.0, "cow": 50.0, "dog": 100.0}
    assert (report["images"], report["images_all_ignore"]) == (3, 1)
    assert (report["classes"], report["unseen"]) == (["cat", "dog", "cow"], ["cow"])
    # rows cat, dog, cow, ignored; the image that is ignored whole counts nowhere
    matrix = np.load(out / "confusion.npy", allow_pickle=False)
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0]]
    provenance = report["provenance"]
    assert provenance["split_hash"] == VOCABULARY.fingerprint()
    assert (provenance["config_hash"], provenance["seed"]) == ("c0ffee", 7)
    assert provenance["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_batches_repeated_images_and_reset(dataset):
    pairs = [pair(dataset, "a", [[0, 1]], [[0, 0]]), pair(dataset, "b", [[2], [2]], [[2], [0]])]
    evaluator = ZeroShotEvaluator(NAME)
    evaluator.process(*zip(pair(dataset, "c", [[0, 2]], [[1, 1]])))
    evaluator.reset()
    evaluator.process(*zip(*pairs, pairs[0]))
    assert evaluator.evaluate() == evaluate(pairs)


def test_an_image_of_two_processes_is_refused(dataset, monkeypatch):
    """It cannot be taken out of a sum again."""
    monkeypatch.setattr("detectron2.utils.comm.all_gather", lambda found: [found, found])
    with pytest.raises(UserError, match="one.png was evaluated by more than one process"):
        evaluate([pair(dataset, "one", [[0]], [[0]])])


@pytest.mark.parametrize(
    "gt, pred, width, message",
    [
        ([[0, 3]], [[0, 0]], 2, r"bad\.png.*3"),  # an id outside the vocabulary
        ([[0, 1]], [[0, 3]], 2, r"bad\.png.*3, outside 0\.\.2"),
        ([[0, 1]], [[0], [1]], 2, r"bad\.png.*shape"),
        ([[0, 1]], [[0, 1, 1]], 3, r"bad\.png is 2×1 .*bad\.jpg is 3×1"),
    ],
)
def test_labels_that_do_not_fit_are_refused_by_file_name(dataset, gt, pred, width, message):
    record, output = pair(dataset, "bad", gt, pred)
    with pytest.raises(UserError, match=message):
        evaluate([({**record, "width": width}, output)])


def test_other_classes_are_refused_and_other_prompt_names_are_not(dataset):
    with pytest.raises(UserError, match="other classes"):
        evaluate([pair(dataset, "one", [[0]], [[0]], VOCABULARY.seen_only())])
    friendly = Vocabulary(VOCABULARY.names, ("a cat", "a dog", "a cow"), VOCABULARY.seen)
    assert evaluate([pair(dataset, "one", [[0]], [[0]], friendly)])["sem_seg"]["mIoU"] == 100.0


def test_across_data_sets(dataset, caplog):
    """A model trained on NAME's cats and dogs meets a data set of dogs, cows and roads."""
    names = ["dog", "cow", "road"]
    classes = make_vocabulary(names)
    only = {"training": False, "evaluation_only": True}
    register_zero_shot_split("other", dataset, dataset, classes, **only)
    evaluator = ZeroShotEvaluator("other", dataset / "out", trained_on=[NAME])
    vocabulary = Vocabulary(*(tuple(names),) * 2, (True, False, False))
    # dog: 1 hit, 2 true, 2 predicted; cow: no hit; road: all
    record, output = pair(dataset, "one", [[0, 0, 1, 2]], [[0, 1, 0, 2]], vocabulary)
    evaluator.process([record], [output])
    with caplog.at_level(logging.INFO, "zsk"):
        numbers = evaluator.evaluate()["sem_seg"]
    assert numbers["mIoU-trained-names"] == pytest.approx(100 / 3)
    assert numbers["mIoU-new-names"] == 50.0
    assert not [key for key in numbers if "seen" in key or key == "hIoU"]
    assert "trained on 1 of the 3 names" in caplog.text and "hIoU" not in caplog.text
    report = json.loads((dataset / "out" / "metrics.json").read_text())
    assert report["cross_dataset"] is True
    assert report["provenance"]["split_hash"] == vocabulary.fingerprint()


def test_a_package_inside_another_repository_does_not_claim_its_revision(checkout):
    assert git_revision(checkout / "zsk") == "unknown"


def test_all_metrics_are_in_a_line_to_copy(tmp_path, caplog):
    """Detectron2's own line drops names with "-", such as mIoU-seen; so may those of classes."""
    names = ("wall-brick", "dog", "cow")
    vocabulary = Vocabulary(names, names, (True, True, False))
    register_zero_shot_split(NAME, tmp_path, tmp_path, vocabulary, training=True)
    with caplog.at_level(logging.INFO):
        results = evaluate([pair(tmp_path, "one", [[0, 1, 2]], [[0, 1, 2]], vocabulary)])
    assert results["sem_seg"]["IoU-wall-brick"] == 100.0
    lines = [r.getMessage() for r in caplog.records if "copypaste, all metrics" in r.getMessage()]
    keys, values = (line.split(": ")[1].split(",") for line in lines)
    assert {"mIoU", "mIoU-seen", "mIoU-unseen", "hIoU"} <= set(keys)
    assert values == ["100.0000"] * len(keys)


def test_pixels_of_any_word_of_a_class_count_as_the_class(dataset):
    """The model answers with words, the label file has classes; the means are over classes."""
    things = make_vocabulary(["cat", "background"])
    words = {"background": make_vocabulary(["road", "sky"])}
    options = {"training": False, "evaluation_only": True, "words": words}
    register_zero_shot_split("things", dataset, dataset, things, **options)
    asked = Vocabulary(("cat", "road", "sky"), ("cat", "road", "sky"), (True, False, False))
    out = str(dataset / "out")
    evaluator = ZeroShotEvaluator("things", out, trained_on=(NAME,), cell_stride=1)
    # of the 4 background pixels 3 are hit, by either word; of the 2 of cat 1 is
    record, output = pair(dataset, "a", [[0, 0, 1], [1, 1, 1]], [[0, 1, 1], [2, 2, 0]], asked)
    output["pred_cells"] = output["pred_labels"]
    evaluator.process([record], [output])
    metrics = evaluator.evaluate()["sem_seg"]
    report = json.loads(Path(out, "metrics.json").read_text())
    assert report["provenance"]["split_hash"] == asked.fingerprint()
    assert metrics["IoU-cat"] == pytest.approx(100 * 1 / 3)
    assert metrics["IoU-background"] == pytest.approx(100 * 3 / 5)
    assert metrics["mIoU@1"] == pytest.approx(metrics["mIoU"])
    for word in (-1, 3):
        with pytest.raises(UserError, match=f"the prediction holds label {word}, outside 0..2"):
            evaluator.process(
                [pair(dataset, "c", [[0]], [[0]], asked)[0]],
                [{"pred_labels": torch.tensor([[word]])}],
            )
        evaluator.reset()
    with pytest.raises(UserError, match="classes of things stand for several words"):
        ZeroShotEvaluator("things", trained_on=(NAME,), seen_only=True)
    with pytest.raises(UserError, match="has other classes"):
        evaluator.process([pair(dataset, "b", [[0]], [[0]], things)[0]], [output])
