"""The training criterion: names, weights, ignored pixels and images without a segment."""

import math

import pytest
import torch

from zsk.data.targets import segments_from_sem_seg
from zsk.proposals.criterion import SetCriterion
from zsk.proposals.outputs import ScoredProposals

LN2, LN3 = math.log(2.0), math.log(3.0)
FOCAL_POSITIVE = 0.25 * 0.5**2 * LN2  # of one pixel whose logit is 0
FOCAL_NEGATIVE = 0.75 * 0.5**2 * LN2


def build_criterion(**changes):
    settings = {
        "class_weight": 1.0,
        "focal_weight": 1.0,
        "dice_weight": 1.0,
        "no_object_weight": 0.1,
        "ignore_aware": True,
    }
    return SetCriterion(**(settings | changes))


def proposals(batch=1, count=1, classes=1, size=(1, 2)):
    """Leaf tensors of zeros."""
    return ScoredProposals(
        torch.zeros(batch, count, classes + 1, requires_grad=True),
        torch.zeros(batch, count, *size, requires_grad=True),
    )


def run(criterion, stages, *label_maps):
    segments = [segments_from_sem_seg(torch.tensor(rows)) for rows in label_maps]
    return criterion(stages, segments, [f"{i}.jpg" for i in range(len(segments))])


def values(losses):
    return {name: loss.item() for name, loss in losses.items()}


def test_losses_of_one_proposal_by_hand():
    # pixel 0 is class 0, pixel 1 another class that no proposal is left for
    losses = values(run(build_criterion(), [proposals(classes=2)], [[0, 1]]))
    assert losses == {
        "loss_class": pytest.approx(LN3),
        "loss_focal": pytest.approx((FOCAL_POSITIVE + FOCAL_NEGATIVE) / 2 / 2),  # two segments
        "loss_dice": pytest.approx(1 / 3 / 2),  # 1 - (2 * 0.5 + 1) / (1 + 1 + 1)
    }


def test_mask_losses_are_the_mean_over_all_segments_of_the_batch():
    # image 0 has segments of one pixel each, image 1 a segment of both pixels: three in all
    losses = values(run(build_criterion(), [proposals(2, 2, 2)], [[0, 1]], [[0, 0]]))
    assert losses["loss_focal"] == pytest.approx(
        (FOCAL_POSITIVE + FOCAL_NEGATIVE + FOCAL_POSITIVE) / 3
    )
    # the last: 1 - (2 * 1 + 1) / (1 + 2 + 1)
    assert losses["loss_dice"] == pytest.approx((1 / 3 + 1 / 3 + 1 / 4) / 3)
    assert losses["loss_class"] == pytest.approx(LN3)


def test_every_image_learns_its_own_classes():
    # image 0 has no segment, image 1 has one of class 0; both are right with probability 0.75
    stage = ScoredProposals(torch.tensor([[[0.0, LN3]], [[LN3, 0.0]]]), torch.zeros(2, 1, 1, 2))
    losses = values(run(build_criterion(), [stage], [[255, 255]], [[0, 0]]))
    assert losses["loss_class"] == pytest.approx(math.log(4 / 3))


def test_unmatched_proposals_learn_no_object():
    masks = torch.tensor([[[[9.0, -9.0]], [[-9.0, 9.0]]]])  # the first one fits
    logits = torch.tensor([[[0.0, 0.0], [0.0, LN3]]])
    losses = values(run(build_criterion(), [ScoredProposals(logits, masks)], [[0, 255]]))
    assert losses["loss_class"] == pytest.approx((LN2 + 0.1 * math.log(4 / 3)) / 1.1)


def test_mask_losses_are_taken_at_the_resolution_of_the_labels():
    # the mask has one pixel; the matcher sees the upper left label alone, so class 0 is matched
    losses = values(run(build_criterion(), [proposals(size=(1, 1))], [[0, 1], [1, 1]]))
    assert losses["loss_focal"] == pytest.approx((FOCAL_POSITIVE + 3 * FOCAL_NEGATIVE) / 4 / 2)


def test_pixels_without_a_label_are_ignored_or_negatives():
    ignored = values(run(build_criterion(), [proposals()], [[0, 255]]))
    assert ignored["loss_focal"] == pytest.approx(FOCAL_POSITIVE)
    assert ignored["loss_dice"] == pytest.approx(0.2)  # 1 - (2 * 0.5 + 1) / (0.5 + 1 + 1)
    negatives = values(run(build_criterion(ignore_aware=False), [proposals()], [[0, 255]]))
    assert negatives["loss_focal"] == pytest.approx((FOCAL_POSITIVE + FOCAL_NEGATIVE) / 2)
    assert negatives["loss_dice"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("ignore_aware", [True, False])
def test_an_image_without_a_segment_has_mask_losses_of_zero_in_the_graph(ignore_aware):
    stages = [proposals(2, 3), proposals(2, 3)]
    nothing = [[255, 255]]
    losses = run(build_criterion(ignore_aware=ignore_aware), stages, nothing, nothing)
    for name, loss in losses.items():
        assert loss.requires_grad
        assert (loss.item() == 0.0) == ("class" not in name)
    sum(losses.values()).backward()
    for stage in stages:
        assert stage.pred_masks.grad.abs().sum() == 0
        assert stage.pred_logits.grad.abs().sum() > 0  # they all learn no object


@pytest.mark.parametrize("part", ["pred_logits", "pred_masks"])
def test_costs_that_are_not_finite_name_the_image(part):
    stage = proposals(2)
    with torch.no_grad():
        getattr(stage, part)[1].view(-1)[0] = float("nan")
    with pytest.raises(FloatingPointError, match="matching costs are not finite for image 1.jpg"):
        run(build_criterion(), [stage], [[0, 0]], [[0, 0]])


def test_losses_are_float32_under_autocast():
    torch.manual_seed(0)
    stage = ScoredProposals(torch.randn(1, 3, 3), torch.randn(1, 3, 4, 4).bfloat16())
    labels = [[0, 0, 1, 1]] * 4
    with torch.autocast("cpu", torch.bfloat16):
        under = values(run(build_criterion(), [stage], labels))
    stage = ScoredProposals(stage.pred_logits, stage.pred_masks.float())
    assert under == values(run(build_criterion(), [stage], labels))
