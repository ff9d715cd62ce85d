import math

import pytest
import torch

from zsk.classification.ensemble import combine, geometric_ensemble, head_probabilities
from zsk.errors import UserError

HEAD = torch.tensor([[0.16, 0.81], [0.5, 0.25]])
CLIP = torch.tensor([[0.64, 0.01], [0.0, 0.0]])
VALID = torch.tensor([True, False])
SEEN = torch.tensor([True, False])


def test_no_proposal():
    empty = torch.zeros(0, 2)
    assert geometric_ensemble(empty, empty, VALID[:0], SEEN, 0.7).shape == (0, 2)


def test_seen_and_unseen_classes_swap_the_exponents():
    # λ = 1/2 for both: the geometric mean; λ = 1/4: seen head^¼·clip^¾, unseen head^¾·clip^¼
    even = geometric_ensemble(HEAD, CLIP, VALID, SEEN, 0.5)
    torch.testing.assert_close(even[0], torch.tensor([0.4 * 0.8, 0.9 * 0.1]))
    quarter = geometric_ensemble(HEAD, CLIP, VALID, SEEN, 0.25)
    seen = 0.4**0.5 * (0.8 * 0.8 * 0.8) ** 0.5  # 0.16^¼ = 0.4^½, 0.64^¾ = 0.8^(3/2)
    unseen = (0.9 * 0.9 * 0.9) ** 0.5 * 0.1**0.5
    torch.testing.assert_close(quarter[0], torch.tensor([seen, unseen]))


def test_the_extremes_are_one_source_each():
    torch.testing.assert_close(
        geometric_ensemble(HEAD, CLIP, VALID, SEEN, 1.0)[0], torch.tensor([0.16, 0.01])
    )
    torch.testing.assert_close(
        geometric_ensemble(HEAD, CLIP, VALID, SEEN, 0.0)[0], torch.tensor([0.64, 0.81])
    )


def test_an_invalid_proposal_keeps_the_heads_scores():
    assert torch.equal(geometric_ensemble(HEAD, CLIP, VALID, SEEN, 0.7)[1], HEAD[1])


def test_a_certain_zero_stays_zero_and_finite():
    scores = geometric_ensemble(
        torch.tensor([[0.0]]), torch.tensor([[0.5]]), VALID[:1], SEEN[:1], 0.7
    )
    assert scores.tolist() == [[0.0]]


def test_modes():
    arguments = (HEAD, CLIP, VALID, SEEN, 0.7)
    assert torch.equal(combine("head", *arguments), HEAD)
    # whatever an invalid row holds, it scores nothing
    filled = torch.where(VALID[:, None], CLIP, 1.0)
    assert torch.equal(combine("clip", HEAD, filled, VALID, SEEN, 0.7), CLIP)
    assert torch.equal(combine("ensemble", *arguments), geometric_ensemble(*arguments))


@pytest.mark.parametrize("lam", [-0.1, 1.1, float("nan")])
def test_a_weight_outside_its_range(lam):
    with pytest.raises(UserError, match=str(lam)):
        combine("ensemble", HEAD, CLIP, VALID, SEEN, lam)


def test_an_unknown_mode():
    with pytest.raises(UserError, match="'average'.*ensemble, head, clip"):
        combine("average", HEAD, CLIP, VALID, SEEN, 0.7)


def test_the_penalty_of_seen_classes_by_hand():
    # columns: seen, unseen, no object; weights 1, 2 and 1
    logits = torch.tensor([[1.0, 2.0, 1.0]]).log()
    probs = head_probabilities(logits, SEEN, 0.0)
    torch.testing.assert_close(probs, torch.tensor([[0.25, 0.5]]))
    # half of the seen class's weight: 1/2 against 2, of the same three quarters
    probs = head_probabilities(logits, SEEN, math.log(2))
    torch.testing.assert_close(probs, 0.75 * torch.tensor([[0.2, 0.8]]))


def test_the_penalty_changes_nothing_where_all_classes_are_seen():
    logits = torch.tensor([[6.0, 0.0, 2.0], [0.0, 3.0, 2.0]])
    both = torch.tensor([True, True])
    torch.testing.assert_close(
        head_probabilities(logits, both, 3.0), head_probabilities(logits, both, 0.0)
    )
