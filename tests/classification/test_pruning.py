"""Votes by hand: three pixels in a row, classes a and b."""

import pytest
import torch

from zsk.classification import pruning
from zsk.classification.pruning import VoteCount, representatives

YES, NO = 20.0, -20.0  # logits whose sigmoids are 1 and 0


def row(*logits: float) -> torch.Tensor:
    return torch.tensor([logits])


def count_of_three() -> VoteCount:
    """The first covers all pixels, the second the middle one, the third the right one."""
    upper = torch.tensor([[0.9, 0.9], [0.5, 0.2], [0.1, 0.1]])
    masks = torch.stack([row(YES, YES, YES), row(NO, YES, NO), row(NO, NO, YES)])
    return VoteCount(upper, masks)


def test_votes_and_what_is_open() -> None:
    count = count_of_three()
    torch.testing.assert_close(count.open[0], torch.tensor([0.9, 1.4, 1.0]))
    count.add(torch.tensor([0]), torch.tensor([[0.2, 0.6]]))
    torch.testing.assert_close(count.votes, torch.tensor([[0.2] * 3, [0.6] * 3]))
    torch.testing.assert_close(
        count.open, torch.tensor([[0, 0.5, 0.1], [0, 0.2, 0.1]]), atol=1e-6, rtol=0
    )


def test_a_pixel_is_settled_when_the_rest_cannot_turn_it() -> None:
    count = count_of_three()
    assert count.unsettled().tolist() == [True, True, True]
    count.add(torch.tensor([0]), torch.tensor([[0.2, 0.6]]))
    # b leads by 0.4; the second proposal may give a 0.5, the third only 0.1
    assert count.unsettled().tolist() == [False, True, False]
    count.add(torch.tensor([1]), torch.tensor([[0.5, 0.0]]))
    assert count.unsettled().tolist() == [False, False, False]


def test_what_only_strengthens_the_winner_settles_nothing_anew() -> None:
    upper = torch.tensor([[0.5, 0.5], [0.9, 0.1]])
    count = VoteCount(upper, torch.stack([row(YES), row(YES)]))
    count.add(torch.tensor([0]), torch.tensor([[0.3, 0.1]]))  # a leads by 0.2, b may get 0.1
    assert count.unsettled().tolist() == [False]


def test_one_class_is_settled_before_anything_is_known() -> None:
    assert VoteCount(torch.ones(2, 1), torch.randn(2, 3, 3)).unsettled().sum() == 0


def test_the_heaviest_where_it_is_open() -> None:
    count = count_of_three()
    rest, middle = torch.tensor([1, 2]), torch.tensor([False, True, False])
    assert count.heaviest(rest, middle, 1).tolist() == [1]
    assert count.heaviest(rest, torch.tensor([False, False, True]), 1).tolist() == [2]
    assert count.heaviest(torch.arange(3), middle, 5).tolist() == [0, 1, 2]


def test_large_vocabularies_are_counted_on_a_sparser_grid(monkeypatch) -> None:
    monkeypatch.setattr(pruning, "GRID_VALUES", 2 * 4 * 4)
    count = VoteCount(torch.ones(1, 2), torch.zeros(1, 8, 8))
    assert count.votes.shape == (2, 16)


def test_votes_of_a_mask_of_nan_are_none() -> None:
    count = VoteCount(torch.ones(1, 2), torch.full((1, 2, 2), float("nan")))
    assert count.open.tolist() == [[0.0] * 4] * 2


def masks_of(*columns: int) -> torch.Tensor:
    """1×10 masks: the first so many columns."""
    return torch.stack([torch.arange(10)[None] < n for n in columns])


def test_a_duplicate_is_represented_by_the_heavier_one() -> None:
    masks = masks_of(9, 10, 4)  # IoU of the first two 0.9
    assert representatives(masks, torch.tensor([0.5, 0.8, 0.9]), 0.85).tolist() == [1, 1, 2]
    assert representatives(masks, torch.tensor([0.8, 0.5, 0.9]), 0.85).tolist() == [0, 0, 2]
    assert representatives(masks, torch.tensor([0.5, 0.8, 0.9]), 0.9).tolist() == [0, 1, 2]


def test_a_duplicate_of_a_duplicate_stands_alone() -> None:
    # 8 is like 9 and 9 like 10 (0.89, 0.9), but 8 is not like 10 (0.8)
    assert representatives(masks_of(8, 9, 10), torch.tensor([0.1, 0.2, 0.3]), 0.85).tolist() == [
        0,
        2,
        2,
    ]


def test_empty_masks_and_no_masks() -> None:
    assert representatives(masks_of(0, 0), torch.ones(2), 0.5).tolist() == [0, 1]
    assert representatives(masks_of(3)[:0], torch.ones(0), 0.5).shape == (0,)


@pytest.mark.parametrize("seed", range(4))
def test_settled_pixels_keep_their_winner_whatever_comes(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    upper = torch.rand(6, 3, generator=generator) * 0.5 ** torch.arange(6)[:, None]
    masks = torch.randn(6, 5, 5, generator=generator)
    scores = upper * torch.rand(6, 3, generator=generator)
    count = VoteCount(upper, masks)
    final = torch.einsum("nk,nx->kx", scores, masks.sigmoid().flatten(1)).argmax(dim=0)
    seen = 0
    for n in range(6):
        count.add(torch.tensor([n]), scores[n : n + 1])
        settled = ~count.unsettled()
        assert torch.equal(count.votes.argmax(dim=0)[settled], final[settled])
        seen += int(settled.sum())
    assert seen > 25  # some before the last, where all are
