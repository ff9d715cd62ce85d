"""Votes of masks: by hand."""

import pytest
import torch

from zsk.errors import UserError
from zsk.mask_votes import MaskVotes

LN3 = torch.log(torch.tensor(3.0)).item()


def test_sigmoids_know_nothing_of_each_other() -> None:
    votes = MaskVotes()(torch.tensor([LN3, 0.0, -LN3]), dim=0)
    torch.testing.assert_close(votes, torch.tensor([0.75, 0.5, 0.25]))
    assert not MaskVotes().compete


def test_competing_masks_share_one_vote() -> None:
    # exp(2 * ln 3) = 9 against 1 and 1/9 along the second axis
    votes = MaskVotes(2.0)(torch.tensor([[LN3, 0.0, -LN3]]), dim=1)
    torch.testing.assert_close(votes, torch.tensor([[81.0, 9.0, 1.0]]) / 91)


def test_bounds_by_hand() -> None:
    """Logits between 0 and ln 3, and of 0: the first has 1 of 2 to 3 of 4, the other the rest."""
    least, greatest = torch.tensor([[0.0, 0.0]]), torch.tensor([[LN3, 0.0]])
    low, high = MaskVotes(1.0).bounds(least, greatest)
    expected = torch.tensor([[0.5, 0.25]]), torch.tensor([[0.75, 0.5]])
    torch.testing.assert_close((low, high), expected, rtol=0, atol=1e-5)
    low, high = MaskVotes().bounds(least, greatest)
    torch.testing.assert_close((low, high), (least.sigmoid(), greatest.sigmoid()))


@pytest.mark.parametrize("sharpness", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("scale", [0.1, 3.0, 100.0])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_votes_keep_to_their_bounds(sharpness: float, scale: float, offset: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(6, 50, 9) * scale + offset  # 6 regions of 50 pixels, 9 masks
    votes = MaskVotes(sharpness)
    values = votes(logits.double(), dim=2)
    low, high = votes.bounds(logits.amin(dim=1), logits.amax(dim=1))
    assert (values >= low[:, None] * (1 - 5e-6) - 1e-9).all()
    assert (values <= high[:, None] * (1 + 5e-6) + 1e-9).all()
    assert (low >= 0).all() and (high <= 1 + 1e-6).all()


def test_what_is_not_a_number_takes_no_other_mask_with_it() -> None:
    logits = torch.tensor([[float("nan"), 0.0, 0.0], [float("inf"), 9.0, 0.0]])
    votes = MaskVotes(1.0)(logits, dim=1)
    torch.testing.assert_close(votes, torch.tensor([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]))


def test_one_mask_that_competes_with_none_has_every_vote() -> None:
    logits = torch.tensor([[-80.0], [3.0]])
    assert MaskVotes(1.0)(logits, dim=1).tolist() == [[1.0], [1.0]]
    low, high = MaskVotes(1.0).bounds(logits, logits + 1)
    ones = torch.ones(2, 1)
    torch.testing.assert_close((low, high), (ones, ones), rtol=0, atol=1e-5)


@pytest.mark.parametrize("sharpness", [-1.0, float("nan"), float("inf")])
def test_a_sharpness_that_there_is_not(sharpness: float) -> None:
    with pytest.raises(UserError, match="MASK_SOFTMAX is .*, 0.0 for the"):
        MaskVotes(sharpness)
