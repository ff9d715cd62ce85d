"""Mask and class losses, by hand."""

import itertools
import math

import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from zsk.data.targets import UNNAMED
from zsk.proposals.losses import class_loss, mask_losses, pairwise_mask_losses

LN2, LN3 = math.log(2.0), math.log(3.0)


def paired_losses(logits, targets, valid):
    """Mask, segment and labels of a row belong together; (M,P) each."""
    return mask_losses(logits[:, None], targets.bool()[:, None], valid.bool()[:, None])


def focal_loss(logits, targets, valid):
    return paired_losses(logits, targets, valid)[0]


def dice_loss(logits, targets, valid):
    return paired_losses(logits, targets, valid)[1]


@pytest.mark.parametrize(
    "logits, valid, expected",
    [
        ([0.0, 0.0], [1.0, 1.0], 1 / 3),  # 1 - (2 * 0.5 + 1) / (1 + 1 + 1)
        ([0.0, 0.0], [1.0, 0.0], 0.2),  # 1 - (2 * 0.5 + 1) / (0.5 + 1 + 1)
        ([50.0, -50.0], [1.0, 1.0], 0.0),
        ([-50.0, 50.0], [1.0, 1.0], 1 - 1 / 3),
        ([0.0, -50.0], [0.0, 1.0], 0.0),  # nothing against nothing
    ],
)
def test_dice_loss_against_the_left_of_two_pixels(logits, valid, expected):
    loss = dice_loss(torch.tensor([logits]), torch.tensor([[1.0, 0.0]]), torch.tensor([valid]))
    assert loss.item() == pytest.approx(expected, abs=2e-7)


def test_masks_without_a_valid_pixel_cost_nothing():
    losses = paired_losses(torch.ones(1, 2), torch.ones(1, 2), torch.zeros(1, 2))
    assert [loss.tolist() for loss in losses] == [[0.0], [0.0]]


def test_focal_loss_is_that_of_torchvision():
    logits = 4 * torch.randn(3, 40)
    targets, valid = torch.rand(3, 40) > 0.5, torch.rand(3, 40) > 0.3
    valid[-1] = False  # a mask without a label
    expected = sigmoid_focal_loss(logits, targets.float(), alpha=0.25, gamma=2) * valid
    expected = expected.sum(1) / valid.sum(1).clamp(min=1)
    torch.testing.assert_close(focal_loss(logits, targets, valid), expected)


@pytest.mark.parametrize("loss", [focal_loss, dice_loss])
def test_large_logits_have_finite_losses_and_gradients(loss):
    logits = torch.tensor([[1e4, -1e4, 1e4, -1e4]], requires_grad=True)
    value = loss(logits, torch.tensor([[1.0, 1.0, 0.0, 0.0]]), torch.ones(1, 4))
    value.sum().backward()
    assert torch.isfinite(value).all() and torch.isfinite(logits.grad).all()


def test_pairwise_losses_equal_the_losses_of_every_pair():
    logits, targets = 3 * torch.randn(2, 4, 10), (torch.rand(2, 3, 10) > 0.5).float()
    valid = (torch.rand(2, 10) > 0.3).float()
    valid[1] = 0  # all is zero
    costs = pairwise_mask_losses(logits, targets, valid)
    for i, n, g in itertools.product(range(2), range(4), range(3)):
        one = paired_losses(logits[i, n : n + 1], targets[i, g : g + 1], valid[i : i + 1])
        torch.testing.assert_close([cost[i, n, g] for cost in costs], [loss[0] for loss in one])
    assert all(cost[0].all() and not cost[1].any() for cost in costs)
    none = pairwise_mask_losses(logits, targets[:, :0], valid)
    assert [cost.shape for cost in none] == [(2, 4, 0)] * 2


@pytest.mark.parametrize(
    "targets, expected",
    [
        ([0, 1], (LN2 + 0.1 * math.log(4 / 3)) / 1.1),  # K=1: no object, 1, weighs 0.1
        ([1, 1], (LN2 + math.log(4 / 3)) / 2),
        ([0, 255], LN2),
    ],
)
def test_class_loss_weighs_no_object_down_and_leaves_out_ignored_rows(targets, expected):
    logits = torch.tensor([[0.0, 0.0], [0.0, LN3]])
    assert class_loss(logits, torch.tensor(targets), 0.1).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_class_loss_without_a_row_that_counts_is_zero_in_the_graph():
    logits = torch.zeros(2, 2, requires_grad=True)
    loss = class_loss(logits, torch.tensor([255, 255]), 0.1)
    loss.backward()
    assert loss.item() == 0 and logits.grad.tolist() == [[0, 0], [0, 0]]


def test_class_loss_of_an_unnamed_row_asks_for_any_class_but_the_last():
    logits = torch.tensor([[0.0, LN2, LN3], [0.0, 0.0, 0.0]])  # K=2; weights 1, 2 and 3
    expected = (LN2 + LN3) / 2  # -ln of 3/6, and of 1/3 for the named row
    loss = class_loss(logits, torch.tensor([UNNAMED, 0]), 0.1)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_class_loss_of_an_unnamed_row_leaves_its_classes_as_likely_as_they_were():
    logits = torch.zeros(1, 3, requires_grad=True)
    class_loss(logits, torch.tensor([UNNAMED]), 0.1).backward()
    # minus the share of the classes, which rise together, and plus that of no object
    assert logits.grad[0].tolist() == pytest.approx([1 / 3 - 1 / 2, 1 / 3 - 1 / 2, 1 / 3], rel=1e-5)
