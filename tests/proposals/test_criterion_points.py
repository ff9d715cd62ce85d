"""The criterion at sampled points instead of at all pixels."""

import math

import pytest
import torch
from pixel_centres import centres

from zsk.data.targets import segments_from_sem_seg
from zsk.errors import UserError
from zsk.proposals import criterion as module
from zsk.proposals.criterion import SetCriterion
from zsk.proposals.matcher import HungarianMatcher
from zsk.proposals.outputs import Proposals

FOCAL_POSITIVE = 0.25 * 0.5**2 * math.log(2.0)  # of one point whose logit is 0
FOCAL_NEGATIVE = 0.75 * 0.5**2 * math.log(2.0)


def build_criterion(num_points, **changes):
    settings = {"deep_supervision": True, "ignore_aware": True, **changes}
    return SetCriterion(
        HungarianMatcher(1.0, 20.0, 1.0),
        class_weight=1.0,
        focal_weight=1.0,
        dice_weight=1.0,
        no_object_weight=0.1,
        num_points=num_points,
        **settings,
    )


def run(criterion, stages, label_maps):
    segments = [segments_from_sem_seg(torch.as_tensor(labels)) for labels in label_maps]
    return criterion(stages, segments, ["a.jpg"] * len(segments))


def random_stages(batch=2, count=4, classes=3, size=(6, 8)):
    return [
        Proposals(
            torch.randn(batch, count, classes + 1, requires_grad=True),
            (3 * torch.randn(batch, count, *size)).requires_grad_(),
        )
        for _ in range(2)
    ]


def random_labels(batch=2, classes=3, size=(6, 8)):
    labels = torch.randint(0, classes, (batch, *size))
    return labels.masked_fill(torch.rand(labels.shape) > 0.7, 255)


@pytest.fixture
def fixed_points(monkeypatch):
    """Call it with points (1,P,2): they are drawn for every image and every mask."""

    def fix(points):
        monkeypatch.setattr(
            module, "random_points", lambda rows, count, device: points.expand(rows, -1, -1)
        )
        monkeypatch.setattr(
            module,
            "uncertain_points",
            lambda masks, *others: points.expand(len(masks), -1, -1),
        )

    return fix


# masks of another size than the labels are matched at their own when all pixels count; a single
# proposal is matched whatever its costs
@pytest.mark.parametrize("settings", [{}, {"count": 1, "classes": 1, "size": (3, 4)}])
@pytest.mark.parametrize("ignore_aware", [True, False])
def test_with_every_pixel_once_the_losses_are_those_of_all_pixels(
    fixed_points, settings, ignore_aware
):
    torch.manual_seed(0)
    stages = random_stages(**settings)
    labels = random_labels(classes=settings.get("classes", 3))
    dense = run(build_criterion(0, ignore_aware=ignore_aware), stages, labels)
    fixed_points(centres(6, 8))
    sampled = run(build_criterion(48, ignore_aware=ignore_aware), stages, labels)
    torch.testing.assert_close(sampled, dense)
    for stage in stages:
        torch.testing.assert_close(
            torch.autograd.grad(sum(sampled.values()), stage, retain_graph=True),
            torch.autograd.grad(sum(dense.values()), stage, retain_graph=True),
        )


def test_losses_at_four_points_by_hand(fixed_points):
    # class 0 on the left, class 1 on the right, the one proposal is sure of class 0
    stage = Proposals(torch.tensor([[[9.0, 0.0, 0.0]]]), torch.zeros(1, 1, 1, 2))
    x = torch.tensor([0.1, 0.2, 0.3, 0.9])  # three are on the left
    fixed_points(torch.stack([x, torch.full((4,), 0.5)], dim=1)[None])
    losses = run(build_criterion(4), [stage], [[[0, 1]]])
    expected = (3 * FOCAL_POSITIVE + FOCAL_NEGATIVE) / 4
    assert losses["loss_focal"].item() == pytest.approx(expected / 2)  # two segments
    # 1 - (2 * 1.5 + 1) / (2 + 3 + 1)
    assert losses["loss_dice"].item() == pytest.approx(1 / 3 / 2)


def test_ignored_pixels_count_nowhere(fixed_points):
    stage = Proposals(torch.zeros(1, 1, 2), torch.randn(1, 1, 1, 2, requires_grad=True))
    fixed_points(torch.tensor([[[0.6, 0.5], [0.9, 0.5]]]))  # both on the right
    losses = run(build_criterion(2), [stage], [[[0, 255]]])
    assert losses["loss_focal"].item() == losses["loss_dice"].item() == 0.0
    sum(losses.values()).backward()
    assert stage.pred_masks.grad.tolist() == [[[[0.0, 0.0]]]]


def test_what_is_predicted_on_ignored_pixels_changes_nothing():
    torch.manual_seed(0)
    labels = torch.tensor([[[0, 0, 1, 1, 255, 255, 255, 255]] * 4] * 2)
    stages, losses = random_stages(size=(4, 8)), []
    for _ in range(2):
        torch.manual_seed(1)
        losses.append(run(build_criterion(20), stages, labels))
        with torch.no_grad():  # a point in column 3 still feels the next one
            for stage in stages:
                stage.pred_masks[..., 5:] = torch.randn_like(stage.pred_masks[..., 5:])
    torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=0)


def test_every_stage_learns_its_masks_and_an_image_without_a_segment_has_none():
    torch.manual_seed(0)
    stages = random_stages()
    labels = random_labels()
    labels[1] = 255
    sum(run(build_criterion(30), stages, labels).values()).backward()
    for stage in stages:
        assert stage.pred_masks.grad[0].abs().sum() > 0
        assert stage.pred_masks.grad[1].abs().sum() == 0


def test_a_batch_without_a_segment_has_mask_losses_of_zero_in_the_graph():
    stages = random_stages()
    losses = run(build_criterion(30), stages, torch.full((2, 6, 8), 255))
    for name, loss in losses.items():
        assert loss.requires_grad
        assert (loss.item() == 0.0) == ("class" not in name)
    sum(losses.values()).backward()
    assert all(stage.pred_masks.grad.abs().sum() == 0 for stage in stages)


def test_the_random_state_decides_the_losses():
    torch.manual_seed(0)
    stages, labels, losses = random_stages(), random_labels(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(run(build_criterion(10), stages, labels)["loss_focal"].item())
    assert losses[0] == losses[1] != losses[2]


def test_all_proposals_and_stages_of_an_image_are_compared_at_the_same_points():
    torch.manual_seed(0)
    masks = torch.randn(2, 1, 6, 8).expand(-1, 3, -1, -1)
    stage = Proposals(torch.zeros(2, 3, 4), masks)
    batch = module.SegmentBatch.from_images([segments_from_sem_seg(x) for x in random_labels()])
    compared, segments = build_criterion(10).comparable([stage, stage], batch)
    first = compared[0].pred_masks
    assert first.shape == (2, 3, 1, 10) and segments[0].valid.shape == (2, 1, 10)
    assert torch.equal(first, first[:, :1].expand(-1, 3, -1, -1))
    assert torch.equal(first, compared[1].pred_masks)
    assert not torch.equal(first[0], first[1])  # but images have their own


def test_unmatched_proposals_learn_the_class_under_their_points():
    # both masks are class 0's; the one that matching leaves learns it too, or else no object
    stage = Proposals(torch.zeros(1, 2, 2), torch.full((1, 2, 4, 4), 5.0))
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    for purity, targets in ((0.7, [0, 0]), (0.0, [1, 1])):
        criterion = build_criterion(10, region_purity=purity)
        batch = module.SegmentBatch.from_images([segments_from_sem_seg(x) for x in labels])
        compared, segments = criterion.comparable([stage], batch)
        assert criterion.unmatched_classes(compared[0], segments[0]).tolist() == [targets]


def test_half_precision_masks_are_sampled_in_float32():
    torch.manual_seed(0)
    stages, labels = random_stages(), random_labels()
    half = [Proposals(logits, masks.detach().bfloat16()) for logits, masks in stages]
    full = [Proposals(logits, masks.float()) for logits, masks in half]
    found = []
    for each in (half, full):
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16):
            found.append(run(build_criterion(10), each, labels))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_a_negative_number_of_points_is_a_mistake():
    with pytest.raises(UserError, match="MODEL.CRITERION.NUM_POINTS is -1"):
        build_criterion(-1)
