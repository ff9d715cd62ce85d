"""SPNet's head: its ASPP, its scores, its loss, and that it learns."""

import math

import pytest
import torch
import torch.nn.functional as F
from tiny_head import EMBED_DIM, build_backbone_and_head, tiny_config
from torch import nn

from zsk.backbones.build import build_backbone
from zsk.baselines.per_pixel.aspp_sum import AsppSum
from zsk.baselines.per_pixel.spnet_head import SPNetHead
from zsk.errors import UserError

OPTS = (
    *("MODEL.SEM_SEG_HEAD.NAME", "SPNetHead", "MODEL.SEM_SEG_HEAD.ASPP_DILATIONS", [1, 2, 3, 4]),
    *("MODEL.RESNETS.OUT_FEATURES", ["res5"]),
)


def test_aspp_is_the_sum_of_dilated_convolutions():
    """One channel of ones, all weights 1: a branch counts its taps inside of the map."""
    aspp = AsppSum("res5", 1, 1, [1, 3])
    assert all(not branch.bias.any() and branch.weight.std() < 0.05 for branch in aspp.branches)
    for branch in aspp.branches:
        nn.init.ones_(branch.weight)
    (counts,) = aspp({"res5": torch.ones(1, 1, 5, 5)})[0].detach()
    # the corner: 2 x 2 and 2 x 2 taps; the middle: 3 x 3, and the tap of dilation 3 in the middle
    assert counts[0, 0] == 4 + 4 and counts[2, 2] == 9 + 1


def test_scores_are_inner_products_of_any_length():
    backbone, head = build_backbone_and_head(tiny_config(*OPTS))
    embeddings = head(backbone(torch.randn(2, 3, 64, 96)))
    assert embeddings.shape == (2, EMBED_DIM, 2, 3)
    text = F.normalize(torch.randn(5, EMBED_DIM), dim=1)
    logits = head.class_logits(3 * embeddings, text)
    torch.testing.assert_close(logits[1, 4, 1, 2], 3 * embeddings[1, :, 1, 2] @ text[4])


def test_loss_by_hand():
    head = SPNetHead(nn.Identity())
    logits = torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]])[None, :, None]  # (1,2,1,3)
    # cells of 3 x 3 pixels have the label in their middle; the last one has none
    middle = [9, 0, 9, 9, 1, 9, 9, 255, 9]
    sem_seg = torch.tensor([[[9] * 9, middle, [9] * 9]])
    expected = (math.log(2) + math.log(1 + math.e)) / 2
    assert head.map_loss(logits, sem_seg).item() == pytest.approx(expected)
    nothing = head.map_loss(logits.requires_grad_(), torch.full((1, 3, 9), 255))
    nothing.backward()
    assert nothing == 0 and not logits.grad.any()


def test_weighted_loss_by_hand():
    """Weights of the cells' middles: 1 and 1/4; over their sum, or over 1 where that is less."""
    head = SPNetHead(nn.Identity())
    logits = torch.tensor([[0.0, 1.0], [0.0, 0.0]])[None, :, None]  # (1,2,1,2)
    sem_seg = torch.tensor([[[0, 0, 0, 1, 1, 1]] * 3])
    weights = torch.tensor([[[9.0, 1.0, 9.0, 9.0, 0.25, 9.0]] * 3])
    expected = (math.log(2) + math.log(1 + math.e) / 4) / 1.25
    loss = head.map_loss(logits, sem_seg, weights)
    assert loss.item() == pytest.approx(expected)
    sem_seg[:, :, :3] = 255
    loss = head.map_loss(logits, sem_seg, weights)
    assert loss.item() == pytest.approx(math.log(1 + math.e) / 4)


def test_four_images_are_learned():
    """The cells' colours tell the classes; the vectors of two of them are close."""
    vectors = F.normalize(torch.tensor([[1.0, 0, 0], [0.9, 0.4, 0], [0, 0, 1]]), dim=1)
    head = SPNetHead(AsppSum("res5", 3, 3, [1, 2]))
    labels = torch.randint(0, 3, (4, 6, 6))
    features = {"res5": F.one_hot(labels, 3).permute(0, 3, 1, 2).float()}
    optimizer = torch.optim.SGD(head.parameters(), lr=1.0, momentum=0.9)
    for _ in range(60):
        optimizer.zero_grad()
        head.losses([features], vectors, labels)["loss_sem_seg"].backward()
        optimizer.step()
    logits = head.class_logits(head(features), vectors)
    assert torch.equal(logits.argmax(dim=1), labels)


def test_a_bgr_backbone_gets_the_channels_in_its_order():
    rgb = build_backbone(tiny_config(*OPTS)).eval()
    bgr = build_backbone(tiny_config(*OPTS, "MODEL.PIXEL_ORDER", "BGR")).eval()
    bgr.load_state_dict(rgb.state_dict())
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(bgr(images)["res5"], rgb(images.flip(1))["res5"])


def test_deeplab_v2_has_stride_8():
    opts = ("MODEL.BACKBONE.NAME", "build_resnet_deeplab_backbone", "MODEL.RESNETS.DEPTH", 50)
    grid = ("MODEL.RESNETS.RES4_DILATION", 2, "MODEL.RESNETS.RES5_DILATION", 4)
    backbone, _ = build_backbone_and_head(
        tiny_config(*OPTS, *opts, *grid, "MODEL.RESNETS.NORM", "FrozenBN")
    )
    assert backbone.output_shape()["res5"].stride == 8
    with torch.no_grad():
        assert backbone(torch.zeros(1, 3, 32, 40))["res5"].shape == (1, 2048, 4, 5)


@pytest.mark.parametrize(
    "opts, words",
    [
        (("MODEL.SEM_SEG_HEAD.IN_FEATURES", []), r"IN_FEATURES is \[\]: name the one"),
        (("MODEL.SEM_SEG_HEAD.IN_FEATURES", ["res2"]), "'res2', but the backbone gives"),
        (
            ("MODEL.SEM_SEG_HEAD.NAME", "TextFCNHead"),
            r"ASPP_DILATIONS is \[1, 2, 3, 4\], but ASPP of TextFCNHead takes three",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(opts, words):
    with pytest.raises(UserError, match=words):
        build_backbone_and_head(tiny_config(*OPTS, *opts))
