"""Scores of a few pixels -> guesses, labels and weights, by hand."""

import math

import pytest
import torch

from zsk.data.pseudo_labels import Guess, Rule, annealed_weights, best_unseen, kept_guesses

SEEN = torch.tensor([True, False, True, False])
# a pixel per column: an unseen class wins; the second best; a tie with a seen class; the worst two
# are unseen and equal; nothing is scored
SCORES = torch.tensor(
    [
        [0.1, 0.5, 0.4, 0.6, 0.0],  # seen
        [0.6, 0.1, 0.4, 0.1, 0.0],
        [0.2, 0.1, 0.1, 0.2, 0.0],  # seen
        [0.1, 0.3, 0.1, 0.1, 0.0],
    ]
)[:, None]
FREE = torch.ones(1, 5, dtype=torch.bool)


def guess_of(labels, confidence, rank=None) -> Guess:
    ranks = torch.ones(1, len(labels), dtype=torch.int64) if rank is None else torch.tensor([rank])
    return Guess(torch.tensor([labels]), torch.tensor([confidence]), ranks)


def test_the_best_unseen_class_with_its_score_and_rank() -> None:
    guess = best_unseen(SCORES, SEEN)
    assert guess.labels.tolist() == [[1, 3, 1, 1, 1]]
    assert guess.confidence.tolist() == [pytest.approx([0.6, 0.3, 0.4, 0.1, 0.0])]
    assert guess.rank.tolist() == [[1, 2, 2, 3, 3]]
    assert guess.mirrored().rank.tolist() == [[3, 3, 2, 2, 1]]
    assert best_unseen(SCORES[1::2], SEEN[1::2]).rank.tolist() == [[1] * 5]  # no class is seen


@pytest.mark.parametrize(
    "worst_rank, kept",
    [
        (None, [True, True, True, True, False]),  # a score of 0 is no guess
        (1, [True, False, False, False, False]),
        (2, [True, True, True, False, False]),
        (4, [True, True, True, True, False]),
    ],
)
def test_the_rank_that_is_kept(worst_rank, kept) -> None:
    guess = best_unseen(SCORES, SEEN)
    assert kept_guesses([guess], FREE, Rule(worst_rank)).tolist() == [kept]
    labelled = torch.tensor([[False, True, True, True, True]])  # the first pixel has a label
    assert kept_guesses([guess], labelled, Rule(worst_rank)).tolist() == [[False, *kept[1:]]]


def test_views_have_to_agree_and_each_has_to_keep_the_rank() -> None:
    first = guess_of([1, 1, 3, 3], [0.9] * 4, [1, 1, 1, 2])
    second = guess_of([1, 3, 3, 3], [0.2, 0.9, 0.0, 0.9], [2, 1, 1, 1])
    free = torch.ones(1, 4, dtype=torch.bool)
    assert kept_guesses([first, second], free, Rule()).tolist() == [[True, False, False, True]]
    assert not kept_guesses([first, second], free, Rule(1)).any()


def test_the_share_is_of_the_free_pixels_of_a_class() -> None:
    """Class 1 has five, of which 0.5 is 2.5, so 3; class 3 has one; the last pixel has a label."""
    guess = guess_of([1, 1, 3, 1, 1, 1, 1], [0.2, 0.5, 0.1, 0.9, 0.2, 0.2, 1.0])
    free = torch.tensor([[True] * 6 + [False]])
    kept = [[True, True, True, True, False, False, False]]  # the first of the equal ones
    assert kept_guesses([guess], free, Rule(share=0.5)).tolist() == kept
    assert torch.equal(kept_guesses([guess], free, Rule(share=1.0)), free)
    assert not kept_guesses([guess], torch.zeros_like(free), Rule(share=0.5)).any()


def test_annealed_weights_are_a_softmax_over_its_maximum() -> None:
    confidence, kept = torch.tensor([[0.9, 0.4, 0.7]]), torch.tensor([[False, True, True]])
    softmax = (10 * torch.tensor([0.4, 0.7])).softmax(dim=0)
    weights = annealed_weights(confidence, kept, 10.0)
    assert weights.tolist() == [pytest.approx([1.0, math.exp(-3.0), 1.0])]
    torch.testing.assert_close(weights[kept], softmax / softmax.max())
    assert annealed_weights(confidence, kept, 0.0).tolist() == [[1.0] * 3]
    assert annealed_weights(confidence, torch.zeros_like(kept), 10.0).tolist() == [[1.0] * 3]
    # a T that leaves nothing but the surest pixel
    assert annealed_weights(confidence, kept, 1e6).tolist() == [[1.0, 0.0, 1.0]]
