"""The criterion against its definition: images and stages one by one, elementary operations."""

import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from tiny_head import make_criterion

from zsk.data.targets import segments_from_sem_seg
from zsk.proposals.outputs import ScoredProposals

N, K = 5, 4
CLASS, FOCAL, DICE, NO_OBJECT = 1.5, 20.0, 2.0, 0.1


def pair_losses(logits, truth, valid):
    """Focal and dice."""
    prob = logits.sigmoid()
    focal = torch.where(
        truth > 0,
        0.25 * (1 - prob) ** 2 * F.softplus(-logits),
        0.75 * prob**2 * F.softplus(logits),
    )
    overlap, total = (prob * truth * valid).sum(), ((prob + truth) * valid).sum()
    return (focal * valid).sum() / valid.sum().clamp(min=1), 1 - (2 * overlap + 1) / (total + 1)


def assignment(logits, masks, segments):
    def small(maps):
        return F.interpolate(maps[None].float(), size=masks.shape[-2:])[0]

    costs = torch.zeros(N, len(segments.labels))
    for n in range(N):
        for g, label in enumerate(segments.labels):
            pair = masks[n], small(segments.masks[g : g + 1])[0], small(segments.valid[None])[0]
            focal, dice = pair_losses(*pair)
            costs[n, g] = FOCAL * focal + DICE * dice - CLASS * logits[n].softmax(dim=0)[label]
    return linear_sum_assignment(costs.detach().numpy())


def plain_losses(stage, segments):
    """Class, focal and dice loss of a stage."""
    classes = torch.full((len(segments), N), K)
    focal = dice = torch.zeros(())
    for i, image in enumerate(segments):
        for n, g in zip(*assignment(stage.pred_logits[i], stage.pred_masks[i], image)):
            classes[i, n] = image.labels[g]
            logits = F.interpolate(
                stage.pred_masks[i : i + 1, n : n + 1], size=image.valid.shape, mode="bilinear"
            )[0, 0]
            pair = pair_losses(logits, image.masks[g].float(), image.valid.float())
            focal, dice = focal + pair[0], dice + pair[1]
    weight = torch.ones(K + 1)
    weight[K] = NO_OBJECT
    number = max(sum(len(image.labels) for image in segments), 1)
    named = F.cross_entropy(stage.pred_logits.flatten(0, 1), classes.flatten(), weight)
    return CLASS * named, FOCAL * focal / number, DICE * dice / number


def random_stage(size):
    return ScoredProposals(
        torch.randn(3, N, K + 1, requires_grad=True),
        (3 * torch.randn(3, N, *size)).requires_grad_(),
    )


@pytest.mark.parametrize("ignore_aware", [True, False])
def test_losses_and_gradients(ignore_aware):
    stages = [random_stage(size) for size in ((4, 6), (3, 3), (4, 6))]
    labels = torch.randint(0, K, (3, 8, 12))
    labels[torch.rand(labels.shape) > 0.7] = 255
    labels[0][labels[0] > 1] = 255  # fewer segments than the third has
    labels[1] = 255  # none
    segments = [segments_from_sem_seg(image) for image in labels]
    weights = {"class_weight": CLASS, "focal_weight": FOCAL, "dice_weight": DICE}
    weights |= {"no_object_weight": NO_OBJECT}
    criterion = make_criterion(ignore_aware=ignore_aware, **weights)
    losses = criterion(stages, segments, ["a.jpg", "b.jpg", "c.jpg"])
    assert len(losses) == 9
    if not ignore_aware:
        segments = [image._replace(valid=torch.ones_like(image.valid)) for image in segments]
    for stage, suffix in zip(stages, ("_0", "_1", "")):
        found = [losses[kind + suffix] for kind in ("loss_class", "loss_focal", "loss_dice")]
        expected = plain_losses(stage, segments)
        torch.testing.assert_close(found, list(expected))
        torch.testing.assert_close(
            torch.autograd.grad(sum(found), stage), torch.autograd.grad(sum(expected), stage)
        )
