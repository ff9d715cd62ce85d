"""Segmentations in the forms of other programs, by hand."""

import json
import sys
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import torch

from zsk import interop
from zsk.answer import PixelAnswer
from zsk.errors import UserError
from zsk.segmentation import Segmentation
from zsk.vocabulary import Vocabulary

NAMES = ("cat", 'a "b" & <c>', "wall")
# no "wall"; a quarter of the pixels have no name
LABELS = np.array([[0, 0, 0, 1], [0, 0, 0, 1], [255, 255, 255, 255], [0, 1, 1, 1]])
CONFIDENCE = np.where(LABELS == 0, 0.75, 0.5).astype(np.float32)


def segmentation(labels=LABELS, names=NAMES):
    height, width = labels.shape
    scores = torch.rand(len(names), height, width)
    answer = PixelAnswer(lambda top, bottom: scores[:, top:bottom], (height, width), len(names))
    confidence = CONFIDENCE if labels is LABELS else np.ones(labels.shape, np.float32)
    image = np.zeros((height, width, 3), np.uint8)
    return Segmentation(labels, confidence, Vocabulary.from_words(names), image, answer)


def without_names():
    return segmentation(np.full((4, 4), 255))


def test_supervision_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UserError, match="pip install supervision$"):
        interop.to_supervision(segmentation())


def test_results_of_a_pipeline_of_transformers():
    asked = []

    def segmenter(photos, class_names, **options):
        asked.append((photos, class_names, options))
        return [segmentation() for _ in photos]

    segment = interop.pipeline(segmenter, "cat, wall", threshold=0.2)
    cat, other = segment("photo.jpg")
    assert asked == [(["photo.jpg"], "cat, wall", {"threshold": 0.2})]
    assert (cat["label"], cat["score"], other["score"]) == ("cat", 0.75, 0.5)
    assert cat["mask"].mode == "L" and cat["mask"].size == (4, 4)
    assert np.array_equal(np.asarray(cat["mask"]), np.where(LABELS == 0, 255, 0))
    assert [len(found) for found in segment(("a.jpg", "b.jpg"))] == [2, 2]


def test_label_studio():
    """As documented: points in percent of the photo, names of the configuration's tags."""
    with pytest.raises(UserError, match="tolerance is -1"):
        interop.to_label_studio(segmentation(), "/data/photo.jpg", tolerance=-1)
    task = interop.to_label_studio(segmentation(), "/data/photo.jpg", tolerance=0)
    assert json.loads(json.dumps(task)) == task and task["data"] == {"image": "/data/photo.jpg"}
    (prediction,) = task["predictions"]
    assert prediction["score"] == pytest.approx((7 * 0.75 + 5 * 0.5) / 12)
    names = [region["value"]["polygonlabels"] for region in prediction["result"]]
    assert sorted(names) == [[NAMES[1]]] * 2 + [["cat"]] * 2  # two parts each
    view = ElementTree.fromstring(interop.label_studio_config(NAMES))
    tags = {tag.get("name"): tag for tag in view}
    assert [tag.get("value") for tag in tags["label"]] == list(NAMES)
    assert tags["label"][0].get("background") == "#0074b9"
    for region in prediction["result"]:
        assert tags[region["from_name"]].get("toName") == region["to_name"] == "image"
        assert region["type"] == tags[region["from_name"]].tag.lower() == "polygonlabels"
        assert (region["original_width"], region["original_height"]) == (4, 4)
        points = np.array(region["value"]["points"])
        assert points.shape[1] == 2 and len(points) >= 3
        assert points.min() >= 0 and points.max() <= 100
    assert len({region["id"] for region in prediction["result"]}) == 4
    # the outlines run a quarter of a pixel inside: 0.25 to 2.75 of 4 pixels
    large = max(prediction["result"], key=lambda r: np.ptp(r["value"]["points"], axis=0).prod())
    points = np.array(large["value"]["points"])
    assert points.min(axis=0).tolist() == [6.25, 6.25]
    assert points.max(axis=0).tolist() == [68.75, 43.75]
    assert interop.to_label_studio(without_names(), "")["predictions"][0]["result"] == []


def test_what_lies_in_a_hole_lies_on_top_in_label_studio():
    """A frame (0) around a picture (1), and a part of the frame's name inside the picture."""
    labels = np.zeros((20, 20), int)
    labels[1:19, 1:19] = 1
    labels[5:9, 5:9] = 0
    drawn = np.full(labels.shape, -1, np.int32)
    found = segmentation(labels)
    for region in interop.to_label_studio(found, "", tolerance=0)["predictions"][0]["result"]:
        points = np.array(region["value"]["points"]) * 20 / 100
        name = region["value"]["polygonlabels"][0]
        cv2.fillPoly(drawn, [np.floor(points).astype(np.int32)], NAMES.index(name))
    assert np.array_equal(drawn, labels)


def test_outlines_for_label_studio_have_few_points():
    disk = np.hypot(*np.mgrid[-50:50, -50:50]) < 40
    labels = np.where(disk, 0, 255)
    for tolerance, most in ((0, 1000), (1, 40), (1000, 1000)):
        task = interop.to_label_studio(segmentation(labels), "photo.jpg", tolerance=tolerance)
        (region,) = task["predictions"][0]["result"]
        points = np.array(region["value"]["points"])
        assert 3 <= len(points) <= most
        x, y = points.T  # the shoelace formula
        area = abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
        assert abs(area - disk.sum()) < 0.06 * disk.sum()


def test_masks_for_fiftyone(tmp_path):
    """As its importer reads them: by OpenCV, one channel, 0 for no name."""
    interop.fiftyone_mask(segmentation()).save(tmp_path / "photo.png")
    mask = cv2.imread(str(tmp_path / "photo.png"), cv2.IMREAD_UNCHANGED)
    assert mask.tolist() == [[1, 1, 1, 2], [1, 1, 1, 2], [0, 0, 0, 0], [1, 2, 2, 2]]
    assert interop.fiftyone_targets(NAMES) == {1: "cat", 2: NAMES[1], 3: "wall"}
    assert interop.fiftyone_targets("cat, sofa|couch") == {1: "cat", 2: "sofa"}  # as a segmenter
    assert interop.fiftyone_targets(["door, bar"]) == {1: "door, bar"}  # of a data set
    assert interop.fiftyone_targets(["sofa ｜ couch", "dining  table."]) == {
        **{1: "sofa", 2: "dining table"}
    }
    many = segmentation(np.array([[299, 65535]]), tuple(f"name {n}" for n in range(300)))
    interop.fiftyone_mask(many).save(tmp_path / "photo.png")
    mask = cv2.imread(str(tmp_path / "photo.png"), cv2.IMREAD_UNCHANGED)
    assert mask.tolist() == [[300, 0]]
