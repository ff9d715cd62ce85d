"""The meta-architecture around small parts: its three modes, batches, training and refusals."""

from operator import itemgetter

import pytest
import torch
from dense_colours import DenseColours
from detectron2.modeling import build_model
from tiny_head import Pixels, build_backbone_and_head, tiny_config

from zsk import label_map
from zsk.baselines.per_pixel.dense_clip import DenseClip
from zsk.baselines.per_pixel.per_pixel_net import PerPixelNet
from zsk.baselines.per_pixel.pixel_head import PixelHead
from zsk.baselines.per_pixel.spnet_head import SPNetHead
from zsk.classification.prompts import get_templates
from zsk.classification.text_classifier import TextClassifier
from zsk.engine.checkpoint import load_weights
from zsk.errors import UserError
from zsk.regions import Ensemble
from zsk.vocabulary import Vocabulary

WORDS = ("red", "green", "yellow")
VOCABULARY = Vocabulary(WORDS, WORDS, (True, True, False))
FCN = (
    *("MODEL.META_ARCHITECTURE", "PerPixelNet", "MODEL.SEM_SEG_HEAD.NAME", "TextFCNHead"),
    *("MODEL.SEM_SEG_HEAD.CONVS_DIM", 32, "MODEL.SEM_SEG_HEAD.TEMPERATURE", 10.0),
)


class LogitsOfEveryPixel(PixelHead):
    """A head that answers 2, 0, 1 everywhere."""

    def forward(self, features):
        batch = len(features["pixels"])
        return torch.tensor([2.0, 0.0, 1.0])[None, :, None, None].expand(batch, 3, 2, 2)

    def class_logits(self, embeddings, text):
        return embeddings


def build(mode, backbone=None, head=None, window=4, scales=(1.0,), **ensemble):
    encoder = DenseColours(window)
    parts = {
        "backbone": None if mode == "clip" else backbone or Pixels(),
        "sem_seg_head": None if mode == "clip" else head or LogitsOfEveryPixel(),
        "dense_clip": None if mode == "head" else DenseClip(encoder),
        "text_classifier": TextClassifier(encoder, get_templates("single")),
        "ensemble": Ensemble(mode, **ensemble),
        "scales": scales,
        "pixel_mean": [0.0] * 3,
        "pixel_std": [255.0] * 3,
    }
    return PerPixelNet(**parts)


def record(height=8, width=12):
    image = torch.tensor([0, 255, 0], dtype=torch.uint8)[:, None, None].expand(3, height, width)
    return {"image": image, "vocabulary": VOCABULARY, "height": height, "width": width}


@pytest.mark.parametrize(
    "mode, settings, name",
    [
        ("head", {}, "red"),
        ("clip", {}, "green"),
        # a penalty of seen classes gives the pixel to the unseen one
        ("head", {"seen_penalty": 0.9}, "red"),
        ("head", {"seen_penalty": 1.1}, "yellow"),
        # of probabilities 0.665 and 0.245
        ("head", {"seen_penalty": 0.41, "penalty_on": "probabilities"}, "red"),
        ("head", {"seen_penalty": 0.43, "penalty_on": "probabilities"}, "yellow"),
        # head 0.665, 0.090, 0.245; CLIP (logits 0, 2, sqrt 2) 0.080, 0.591, 0.329
        ("ensemble", {"lam": 1.0}, "red"),  # 0.665, 0.090, 0.329
        ("ensemble", {"lam": 0.0}, "green"),  # 0.080, 0.591, 0.245
        # 0.665^.5 0.080^.5 = 0.231; 0.090^.5 0.591^.5 = 0.231; 0.245^.5 0.329^.5 = 0.284
        ("ensemble", {"lam": 0.5}, "yellow"),
    ],
)
def test_the_name_of_a_green_photo_by_hand(mode, settings, name):
    with torch.no_grad():
        (result,) = build(mode, **settings).eval()([record()])
    assert result["pred_labels"].shape == (8, 12)
    assert result["pred_labels"].dtype == torch.int64
    assert result["pred_labels"].unique().tolist() == [WORDS.index(name)]


def test_a_class_of_two_words_has_one_calibration():
    model = build("head", seen_penalty=0.6, penalty_on="probabilities").eval()
    words = Vocabulary(("red", "green"), ("red", "green"), (True, False), ((), ("yellow",)))
    scores = model.answer(model.look([record()["image"]])[0], words, (8, 12)).score_rows(0, 1)
    # 0.665, 0.090 + 0.245
    expected = torch.tensor([0.6652 - 0.6, 0.3348])
    torch.testing.assert_close(scores[:, 0, 0], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 0.5)])
def test_a_label_without_weight_is_no_label(scales):
    """Records of two sizes; the padding of the smaller one has no weight either."""
    records = [record(), record(6, 8)]
    for one in records:
        one["sem_seg"] = torch.ones(one["image"].shape[1:], dtype=torch.int64)
        one["sem_seg"][:, :4] = 0
    model = build("head", head=SPNetHead(itemgetter("pixels")), scales=scales)
    whole = model(records)["loss_sem_seg"]
    for one in records:
        one["label_weights"] = torch.ones(one["image"].shape[1:])
    torch.testing.assert_close(model(records)["loss_sem_seg"], whole)
    for one in records:
        one["label_weights"][:, :4] = 0
    weighted = model(records)["loss_sem_seg"]
    for one in records:
        del one["label_weights"]
        one["sem_seg"][:, :4] = 255
    torch.testing.assert_close(weighted, model(records)["loss_sem_seg"])
    assert weighted < whole - 0.1


class GreenFromAfar(LogitsOfEveryPixel):
    """Logits are the colours of the pixels; in the photo at half size, twice the green alone."""

    def forward(self, features):
        pixels = features["pixels"]
        if pixels.shape[-1] == 8:
            return pixels
        return torch.tensor([0.0, 2.0, 0.0])[:, None, None] * pixels

    def map_loss(self, logits, sem_seg, weights=None):
        return logits.amax() + sem_seg.shape[-1]


def test_cells_are_labelled_beside_pixels():
    """2 cells of 8 columns have the scores between the columns 1 and 2, and 5 and 6."""
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    image[0], image[:, :, 1:3] = 255, torch.tensor([0, 255, 0]).view(3, 1, 1)
    one = {"image": image, "vocabulary": VOCABULARY, "height": 8, "width": 8, "cells": (1, 2)}
    with torch.no_grad():
        (result,) = build("head", head=GreenFromAfar()).eval()([one])
    assert result["pred_labels"].tolist() == [[0, 1, 1, 0, 0, 0, 0, 0]] * 8
    assert result["pred_cells"].tolist() == [[1, 0]]


def test_the_maximum_over_the_scales_is_named_and_learned():
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    image[0, :, :4], image[1] = 255, 153  # red 1 and green 0.6, twice of which is more
    one = {"image": image, "vocabulary": VOCABULARY, "height": 8, "width": 8}
    for scales, left in (((1.0,), 0), ((1.0, 0.5), 1)):
        model = build("head", head=GreenFromAfar(), scales=scales)
        with torch.no_grad():
            (result,) = model.eval()([one])
        assert result["pred_labels"].tolist() == [[left] * 4 + [1] * 4] * 8
    # the maps of both scales and their maximum have a loss each
    losses = model.train()([one | {"sem_seg": torch.zeros(8, 8, dtype=torch.int64)}])
    torch.testing.assert_close(losses["loss_sem_seg"], torch.tensor(1.0 + 1.2 + 1.2 + 3 * 8))


def test_distances_are_calibrated_at_the_size_of_the_result():
    """A quarter of the way from the first to the second cell they are 2, 3 and 2.75.

    There the unseen class is the second nearest and halved; in the first cell it is the third.
    """

    class Distances(LogitsOfEveryPixel):
        def forward(self, features):
            cells = -torch.tensor([[1.0, 5.0], [2.0, 6.0], [3.0, 2.0]])
            return cells[None, :, None].expand(1, 3, 2, 2)

    model = build("head", head=Distances(), seen_penalty=0.5, penalty_on="distances").eval()
    (places,) = model.look([torch.zeros(3, 2, 2, dtype=torch.uint8)])
    assert model.label(places, VOCABULARY, (2, 4)).tolist() == [[0, 2, 2, 2]] * 2


@pytest.mark.parametrize("scale", [0.25, 0.5, 0.75])
def test_another_scale_keeps_the_photo_where_it_is(scale):
    """A step from red to green in a photo whose sides are no multiples of anything."""
    image = torch.zeros(3, 67, 101, dtype=torch.uint8)
    image[0, :, :53], image[1, :, 53:] = 255, 255
    words = Vocabulary(WORDS[:2], WORDS[:2], (True, True))

    class Colours(LogitsOfEveryPixel):
        def forward(self, features):
            return features["pixels"][:, :2]

    model = build("head", head=Colours(), scales=(scale,)).eval()
    (places,) = model.look([image])
    labels = model.label(places, words, (67, 101))
    assert (labels != (torch.arange(101) >= 53)).sum() <= 67 * 2  # 2 columns


def test_strips_change_nothing(monkeypatch):
    model = tiny_model("ensemble").eval()
    with torch.no_grad():
        (whole,) = model([noisy(64, 96, 0)])
        monkeypatch.setattr(label_map, "STRIP_VALUES", 1)  # a row at a time
        (strips,) = model([noisy(64, 96, 0)])
    assert torch.equal(whole["pred_labels"], strips["pred_labels"])
    assert len(whole["pred_labels"].unique()) > 1


def tiny_model(mode):
    backbone, head = build_backbone_and_head(tiny_config(*FCN), embed_dim=3)
    return build(mode, backbone, head, window=32)


def noisy(height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    data = record(height, width)
    data["image"] = torch.randint(0, 256, (3, height, width), generator=generator).byte()
    return data


def test_a_batch_of_different_sizes_and_vocabularies_equals_singles():
    model = tiny_model("ensemble").eval()
    records = [noisy(64, 96, 0), noisy(96, 64, 1), noisy(64, 96, 2), noisy(64, 96, 3)]
    records[2]["height"] = 50  # resized by the mapper: the labels are the photo's size
    records[3]["vocabulary"] = Vocabulary(WORDS[:2], WORDS[:2], (False, True))
    with torch.no_grad():
        together = [result["pred_labels"] for result in model(records)]
        alone = [model([one])[0]["pred_labels"] for one in records]
    for result, single in zip(together, alone):
        assert torch.equal(result, single)
    assert [tuple(r.shape) for r in together] == [(64, 96), (96, 64), (50, 96), (64, 96)]


def configured(tiny_clip, *opts):
    return tiny_config(*FCN, "MODEL.CLIP.NAME", str(tiny_clip), *opts)


def test_clip_alone_has_no_head_and_a_head_alone_has_no_windows_but_needs_weights(tiny_clip):
    model = build_model(configured(tiny_clip, "MODEL.ENSEMBLE.MODE", "clip"))
    assert model.backbone is None and model.sem_seg_head is None and not model.state_dict()
    with pytest.raises(ValueError, match="nothing to train"):
        model.train()([noisy(64, 64, 0)])
    model = build_model(configured(tiny_clip, "MODEL.ENSEMBLE.MODE", "head"))
    assert model.dense_clip is None
    assert {key.split(".")[0] for key in model.state_dict()} == {"backbone", "sem_seg_head"}
    with pytest.raises(UserError, match="no weights are given: give a checkpoint"):
        load_weights(model, "")


@pytest.mark.parametrize(
    "opts, words",
    [
        (("MODEL.SEM_SEG_HEAD.NAME", "DynamicKernelHead"), "takes heads of single pixels"),
        (("MODEL.TEST_DTYPE", "float16"), "MODEL.TEST_DTYPE is 'float16'"),
        (("TEST.PROPOSAL_RECALL", True), "TEST.PROPOSAL_RECALL is about mask proposals"),
        (("TEST.AUG.ENABLED", True), "TEST.AUG.ENABLED is about mask proposals"),
        (("TEST.TILES", 640), "TEST.TILES is about mask proposals"),
        (("INPUT.RECOLOR", 0.5), "INPUT.RECOLOR is about mask proposals"),
        (("MODEL.CLIP.FURTHER_THRESHOLDS", [0.7]), "FURTHER_THRESHOLDS is about mask proposals"),
        (("MODEL.ENSEMBLE.MASK_SOFTMAX", 2.0), "MASK_SOFTMAX is about mask proposals"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_any_image(tiny_clip, opts, words):
    with pytest.raises(UserError, match=words):
        build_model(configured(tiny_clip, *opts))
