"""Masks of photos whose sides are no multiples of the stride, by hand and through the systems."""

import pytest
import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import Backbone
from tiny_clip import ColourEncoder
from tiny_head import colour_net
from torch import nn

from zsk.baselines.per_pixel.per_pixel_net import PerPixelNet
from zsk.classification.prompts import get_templates
from zsk.classification.text_classifier import TextClassifier
from zsk.evaluation.proposal_recall import best_overlaps
from zsk.label_map import View, label_map
from zsk.looks.true_scale import Box, photo_box, resize_rows, whole_cells
from zsk.proposals.outputs import Proposals
from zsk.regions import Ensemble
from zsk.vocabulary import Vocabulary

STRIDE = 16
WORDS = ("red", "green")
VOCABULARY = Vocabulary(WORDS, WORDS, (True, True))
SIZE = (40, 59)  # 3 x 4 cells, the last ones cut


def test_the_box_of_a_photo_by_hand():
    assert photo_box((40, 56), 16, (3, 4)) == Box(0.0, 0.0, 3.5, 2.5)
    assert photo_box((40, 64), 16, (12, 16)) == Box(0.0, 0.0, 16.0, 10.0)  # cells of 4 pixels
    assert photo_box((48, 64), 16, (3, 4)) is None
    assert Box(0.0, 0.0, 3.5, 2.5).mirrored(4) == Box(0.5, 0.0, 4.0, 2.5)


def test_features_are_extended_until_all_cover_the_same_pixels():
    """33 x 16 pixels at strides 4 and 16: 48 x 16, of which a network gives all cells or fewer."""
    strides = {"fine": 4, "coarse": 16, "short": 16}
    fine = torch.arange(9.0).view(1, 1, 9, 1).expand(1, 1, 9, 4)
    features = {"fine": fine, "coarse": torch.ones(1, 2, 3, 1), "short": torch.ones(1, 2, 2, 1)}
    whole = whole_cells(features, strides, (33, 16))
    assert whole["fine"][0, 0, :, 3].tolist() == [*range(9), 8, 8, 8]
    assert whole["coarse"] is features["coarse"] and whole["short"].shape == (1, 2, 3, 1)


@pytest.mark.parametrize("stride, size", [(2, (5, 8)), (4, (9, 7)), (4, (1, 2)), (8, (17, 23))])
def test_maps_are_enlarged_by_the_stride_and_cut(stride, size):
    h, w = (-(-side // stride) for side in size)
    maps = torch.randn(3, h, w)
    whole = F.interpolate(maps[None], scale_factor=stride, mode="bilinear")[0]
    expected = whole[:, : size[0], : size[1]]
    box = photo_box(size, stride, (h, w))
    torch.testing.assert_close(resize_rows(maps, box, size), expected, rtol=0, atol=1e-5)
    mirrored = resize_rows(maps.flip(-1), box and box.mirrored(w), size)
    torch.testing.assert_close(mirrored, expected.flip(-1), rtol=0, atol=1e-5)


def chequers(size=SIZE):
    """(H,W) int64: squares of the stride in two classes."""
    rows, columns = (torch.arange(side) // STRIDE for side in size)
    return (rows[:, None] + columns) % 2


def photo():
    """(3,H,W) uint8: class 0 red, class 1 green."""
    green = 255 * chequers()
    return torch.stack([255 - green, green, 0 * green]).byte()


class Cells(Backbone):
    """The mean colour of every cell of the stride."""

    def forward(self, images):
        return {"cells": F.avg_pool2d(images, STRIDE, ceil_mode=True)}

    def output_shape(self):
        return {"cells": ShapeSpec(channels=3, stride=STRIDE)}


class Perfect(nn.Module):
    """A proposal for each class, sure of the cells that are more red, or more green."""

    def forward(self, features):
        red, green = features["cells"][:, :2].unbind(1)
        masks = torch.stack([red - green, green - red], dim=1).sign() * 50
        logits = torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]])
        return [Proposals(logits.expand(len(red), 2, 3), masks)]

    def class_logits(self, embeddings, text, stage=-1):
        return embeddings


def model(mode="head"):
    pixels = {"pixel_mean": [127.5] * 3, "pixel_std": [127.5] * 3}
    return colour_net(Cells(), Perfect(), ensemble=Ensemble(mode), **pixels).eval()


def record():
    return {"image": photo(), "vocabulary": VOCABULARY, "height": SIZE[0], "width": SIZE[1]}


def test_perfect_masks_give_perfect_labels_and_overlaps():
    (result,) = model()([record()])
    assert torch.equal(result["pred_labels"], chequers())
    overlaps = best_overlaps(result["pred_masks"], chequers(), result["photo_box"])
    assert overlaps == {0: (1.0, 0.0), 1: (1.0, 0.0)}
    stretched = label_map([View(torch.eye(2), result["pred_masks"])], SIZE).labels
    assert (stretched == chequers()).float().mean() < 0.9


class PerfectFCN(nn.Module):
    """The more likely class of every cell, without mask proposals."""

    def forward(self, features):
        return features["cells"][:, :2]

    def class_logits(self, embeddings, text):
        return 50 * embeddings


def test_features_of_systems_without_masks_keep_their_scale():
    net = PerPixelNet(
        backbone=Cells(),
        sem_seg_head=PerfectFCN(),
        dense_clip=None,
        text_classifier=TextClassifier(ColourEncoder(), get_templates("single")),
        ensemble=Ensemble("head"),
        pixel_mean=[127.5] * 3,
        pixel_std=[127.5] * 3,
    ).eval()
    cells = photo()[:, :33, :49]  # single rows and columns in the last cells
    (result,) = net([record() | {"image": cells, "height": 33, "width": 49}])
    assert (result["pred_labels"] != chequers((33, 49))).float().mean() < 0.1


def test_clip_sees_the_pixels_under_the_masks():
    (regions,) = model("clip").look([photo()])
    torch.testing.assert_close(regions.clip_embeddings, torch.eye(3)[:2])


def test_masks_are_trained_at_true_scale():
    """The losses are those of the same cells in a photo of whole strides, with the rest ignored."""
    given = record() | {"sem_seg": chequers()}
    whole = given | {
        "image": F.pad(photo().float(), (0, 5, 0, 8), value=127.5).float(),
        "sem_seg": F.pad(chequers(), (0, 5, 0, 8), value=255),
    }
    losses, expected = (model().train()([one]) for one in (given, whole))
    torch.testing.assert_close(losses, expected)
    assert losses["loss_dice"] < 0.05


def test_photos_may_be_padded_with_the_mean_as_published():
    net, given = model(), []
    net.size_divisibility = 32
    net.backbone.register_forward_pre_hook(lambda _, inputs: given.extend(inputs))
    (result,) = net([record()])
    (padded,) = given
    assert padded.shape == (1, 3, 64, 64)
    assert not padded[:, :, 40:].any() and not padded[..., 59:].any()
    assert torch.equal(result["pred_labels"], chequers())
    assert result["photo_box"] == Box(0.0, 0.0, 59 / 16, 40 / 16)


def test_masks_of_the_size_of_the_photo():
    net = model()
    net.votes_at = "photo"
    (result,) = net([record()])
    assert result["pred_masks"].shape == (2, *SIZE) and result["photo_box"] is None
    assert torch.equal(result["pred_labels"], chequers())
