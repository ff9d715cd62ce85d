"""Mask and class losses, by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from zsk.data.targets import UNNAMED
from zsk.proposals.losses import class_loss, mask_losses, pairwise_mask_losses

LN2, LN3 = math.log(2.0), math.log(3.0)
EVERYWHERE = torch.ones(1, 2)


def paired_losses(logits, targets, valid):
    """Mask, segment and labels of a row belong together; (M,P) each."""
    return mask_losses(logits[:, None], targets.bool()[:, None], valid.bool()[:, None])


def focal_loss(logits, targets, valid):
    return paired_losses(logits, targets, valid)[0]


def dice_loss(logits, targets, valid):
    return paired_losses(logits, targets, valid)[1]


def pairwise_focal(logits, targets, valid):
    return pairwise_mask_losses(logits[None], targets[None], valid[None])[0][0]


def pairwise_dice(logits, targets, valid):
    return pairwise_mask_losses(logits[None], targets[None], valid[None])[1][0]


@pytest.mark.parametrize(
    "logit, target, expected",
    [
        (0.0, 1.0, 0.25 * 0.5**2 * LN2),
        (0.0, 0.0, 0.75 * 0.5**2 * LN2),
        (LN3, 1.0, 0.25 * 0.25**2 * math.log(4 / 3)),  # p = 0.75
        (LN3, 0.0, 0.75 * 0.75**2 * math.log(4)),
    ],
)
def test_focal_loss_of_one_pixel(logit, target, expected):
    loss = focal_loss(torch.tensor([[logit]]), torch.tensor([[target]]), torch.ones(1, 1))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_focal_loss_is_the_mean_over_valid_pixels():
    logits, targets = torch.tensor([[0.0, 0.0, 9.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    valid = torch.tensor([[1.0, 1.0, 0.0]])
    expected = (0.25 + 0.75) / 2 * 0.25 * LN2
    assert focal_loss(logits, targets, valid).item() == pytest.approx(expected, rel=1e-5)


def test_dice_loss_of_half_sure_pixels():
    logits, targets = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    # overlap 0.5; 1 - (2 * 0.5 + 1) / (1 + 1 + 1)
    assert dice_loss(logits, targets, EVERYWHERE).item() == pytest.approx(1 / 3)
    # with the second pixel ignored: 1 - (2 * 0.5 + 1) / (0.5 + 1 + 1)
    assert dice_loss(logits, targets, torch.tensor([[1.0, 0.0]])).item() == pytest.approx(0.2)


def test_dice_loss_of_right_and_wrong_masks():
    targets = torch.tensor([[1.0, 0.0]])
    right = torch.tensor([[50.0, -50.0]])
    assert dice_loss(right, targets, EVERYWHERE).item() == pytest.approx(0.0, abs=1e-6)
    assert dice_loss(-right, targets, EVERYWHERE).item() == pytest.approx(1 - 1 / 3)


def test_dice_loss_of_nothing_against_nothing_is_zero():
    logits = torch.full((1, 2), -50.0)
    assert dice_loss(logits, torch.zeros(1, 2), EVERYWHERE).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("loss", [focal_loss, dice_loss])
def test_masks_without_a_valid_pixel_cost_nothing(loss):
    assert loss(torch.ones(1, 2), torch.ones(1, 2), torch.zeros(1, 2)).tolist() == [0.0]


def random_pairs(count=3, pixels=40):
    logits = 4 * torch.randn(count, pixels)
    targets, valid = torch.rand(count, pixels) > 0.5, torch.rand(count, pixels) > 0.3
    valid[-1] = False  # a mask without a label
    return logits, targets, valid


def test_focal_loss_is_that_of_torchvision():
    logits, targets, valid = random_pairs()
    expected = sigmoid_focal_loss(logits, targets.float(), alpha=0.25, gamma=2) * valid
    expected = expected.sum(1) / valid.sum(1).clamp(min=1)
    torch.testing.assert_close(focal_loss(logits, targets, valid), expected)


def test_masks_are_resized_to_the_labels():
    logits = torch.randn(3, 3, 4)
    targets, valid = torch.rand(3, 6, 10) > 0.5, torch.rand(3, 6, 10) > 0.3
    large = F.interpolate(logits[None], (6, 10), mode="bilinear")[0]
    torch.testing.assert_close(
        mask_losses(logits, targets, valid), mask_losses(large, targets, valid)
    )


@pytest.mark.parametrize("loss", [focal_loss, dice_loss])
def test_large_logits_have_finite_losses_and_gradients(loss):
    logits = torch.tensor([[1e4, -1e4, 1e4, -1e4]], requires_grad=True)
    value = loss(logits, torch.tensor([[1.0, 1.0, 0.0, 0.0]]), torch.ones(1, 4))
    value.sum().backward()
    assert torch.isfinite(value).all() and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    "pairwise, single", [(pairwise_focal, focal_loss), (pairwise_dice, dice_loss)]
)
def test_pairwise_losses_equal_the_losses_of_every_pair(pairwise, single):
    torch.manual_seed(0)
    logits, targets = 3 * torch.randn(4, 10), (torch.rand(3, 10) > 0.5).float()
    valid = (torch.rand(10) > 0.3).float()
    assert 0 < valid.sum() < 10
    costs = pairwise(logits, targets, valid)
    assert costs.shape == (4, 3)
    for n in range(4):
        for g in range(3):
            one = single(logits[n : n + 1], targets[g : g + 1], valid[None])
            torch.testing.assert_close(costs[n, g], one[0])


def test_pairwise_losses_of_a_batch_are_those_of_its_images():
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 4, 10), (torch.rand(2, 3, 10) > 0.5).float()
    valid = (torch.rand(2, 10) > 0.3).float()
    both = pairwise_mask_losses(logits, targets, valid)
    for i in range(2):
        alone = pairwise_mask_losses(logits[i : i + 1], targets[i : i + 1], valid[i : i + 1])
        torch.testing.assert_close([part[i] for part in both], [part[0] for part in alone])


@pytest.mark.parametrize("pairwise", [pairwise_focal, pairwise_dice])
def test_pairwise_losses_without_a_segment_are_empty(pairwise):
    assert pairwise(torch.zeros(4, 10), torch.zeros(0, 10), torch.ones(10)).shape == (4, 0)


@pytest.mark.parametrize("pairwise", [pairwise_focal, pairwise_dice])
def test_pairwise_losses_without_a_valid_pixel_are_zero(pairwise):
    assert pairwise(torch.ones(1, 2), torch.ones(1, 2), torch.zeros(2)).tolist() == [[0.0]]


def test_class_loss_weighs_no_object_down():
    logits = torch.tensor([[0.0, 0.0], [0.0, LN3]])  # K=1: class 0, then no object
    # cross-entropies ln 2 and -ln 0.75, of weights 1 and 0.1
    expected = (LN2 + 0.1 * math.log(4 / 3)) / 1.1
    assert class_loss(logits, torch.tensor([0, 1]), 0.1).item() == pytest.approx(expected, rel=1e-5)


def test_class_loss_of_no_objects_alone_is_their_mean():
    logits = torch.tensor([[0.0, 0.0], [0.0, LN3]])
    expected = (LN2 + math.log(4 / 3)) / 2
    assert class_loss(logits, torch.tensor([1, 1]), 0.1).item() == pytest.approx(expected, rel=1e-5)


def test_class_loss_leaves_out_ignored_rows():
    logits = torch.tensor([[0.0, 0.0], [0.0, LN3]])
    assert class_loss(logits, torch.tensor([0, 255]), 0.1).item() == pytest.approx(LN2, rel=1e-5)


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
