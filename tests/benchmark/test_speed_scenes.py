"""What models with random weights are fed."""

import pytest
import torch
from torch import nn

from zsk.benchmark.speed_scenes import (
    PlausibleMasks,
    damp_residuals,
    numbered_names,
    plausible_masks,
    segment_labels,
    synthetic_photo,
)
from zsk.proposals.outputs import Proposals


def test_a_photo() -> None:
    photo = synthetic_photo((24, 32))
    assert photo.shape == (3, 24, 32) and photo.dtype == torch.uint8
    assert photo.equal(synthetic_photo((24, 32))) and not photo.equal(synthetic_photo((24, 32), 1))
    assert photo[0, -1].float().mean() > photo[0, 0].float().mean() + 150  # gets redder downwards


@pytest.mark.parametrize("count", [1, 4, 25, 100, 400])
def test_every_proposal_has_pixels(count) -> None:
    masks = plausible_masks(count)
    assert masks.shape == (count, 96, 96)
    assert (masks > 0).flatten(1).any(dim=1).all()


def test_the_first_four_share_out_the_photo() -> None:
    """Cells of one partition: every pixel is in one of them, and in one only."""
    inside = plausible_masks(4) > 0
    assert (inside.sum(dim=0) == 1).float().mean() > 0.99  # the border itself aside
    assert inside.sum(dim=0).max() == 1


def test_logits_are_smooth() -> None:
    """A pixel is 1/96 of the side, the distance difference changes by 2/96 at most, times 60."""
    masks = plausible_masks(8)
    assert masks.diff(dim=2).abs().max() <= 60 * 2 / 96 + 1e-3


class Head(nn.Module):
    def forward(self, features, text):
        return [Proposals(torch.full((2, 3, 5), 7.0), torch.full((2, 3, 8, 10), -7.0))] * 2


def test_only_the_last_masks_are_replaced() -> None:
    first, last = PlausibleMasks(Head(), 3)({}, torch.zeros(4, 6))
    assert (first.pred_masks == -7).all()
    assert (last.pred_logits == 7).all()
    assert last.pred_masks.shape == (2, 3, 8, 10)
    assert last.pred_masks[0].equal(last.pred_masks[1])
    assert (last.pred_masks > 0).any()


def test_labels() -> None:
    labels = segment_labels((32, 48), classes=3)
    assert labels.shape == (32, 48)
    assert (labels[0] == 255).all()
    assert labels[1:].unique().tolist() == [0, 1, 2]


def test_names_are_half_seen() -> None:
    vocabulary = numbered_names(5)
    assert vocabulary.names[4] == "thing 4"
    assert vocabulary.seen == (True, False, True, False, True)


def test_only_the_last_norm_of_a_block_is_damped() -> None:
    network = nn.ModuleDict({"conv1": nn.Module(), "conv3": nn.Module()})
    for part in network.values():
        part.norm = nn.BatchNorm2d(2)
    damp_residuals(nn.ModuleDict({"block": network}))
    assert network["conv3"].norm.weight.tolist() == pytest.approx([0.2, 0.2])
    assert network["conv1"].norm.weight.tolist() == [1.0, 1.0]
