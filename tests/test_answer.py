"""Scores, confidence and opinions of named masks, by hand."""

import torch
from torch.nn import functional as F

from zsk.answer import MaskAnswer, PixelAnswer
from zsk.label_map import View

OFF = -1e4  # no vote
# two proposals on two pixels: the first one claims both, the second one the right pixel
MASKS = torch.tensor([[[1e4, 1e4]], [[OFF, 1e4]]])
PROBS = torch.tensor([[0.3, 0.1], [0.2, 0.8]])
HEAD = torch.tensor([[0.5, 0.5], [0.1, 0.9]])
VIEW = View(PROBS, MASKS, head=HEAD)


def close(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected))


def test_confidence_is_the_share_of_the_best_or_its_score():
    labels, confidence = MaskAnswer([VIEW], (1, 2)).label()
    assert labels.tolist() == [[0, 1]]
    close(confidence, [[0.3, 0.9 / 1.4]])  # 0.4 in all is less than 1, 1.4 is more


def test_probabilities():
    expected = [[[0.3, 0.5 / 1.4]], [[0.1, 0.9 / 1.4]]]
    close(MaskAnswer([VIEW], (1, 2)).probabilities(), expected)
    close(MaskAnswer([VIEW, VIEW], (1, 2)).probabilities(), expected)
    one = View(PROBS / 2, torch.full((2, 1, 2), OFF))
    close(MaskAnswer([VIEW, one], (1, 2)).probabilities(), [[[0.15, 0.25]], [[0.05, 0.45]]])


def test_opinions_of_pixels():
    answer = MaskAnswer([VIEW], (1, 2))
    opinions = answer.opinions(torch.tensor([[0, 1]]), 2)
    close(opinions.scores, [[0.3, 0.1], [0.5 / 1.4, 0.9 / 1.4]])
    close(opinions.head, [[0.5, 0.5], [0.3, 0.7]])  # the right pixel has a vote of each
    assert opinions.clip is None
    both = answer.opinions(torch.tensor([[0, 0]]), 1)
    close(both.head, [[(2 * 0.5 + 0.1) / 3, (2 * 0.5 + 0.9) / 3]])
    close(both.scores, [[0.4, 0.5]])
    nothing = answer.opinions(torch.tensor([[-1, 7]]), 1)
    assert not nothing.scores.any() and not nothing.head.any()


def test_scores_of_small_votes_are_those_of_resized_votes():
    torch.manual_seed(0)
    view = View(torch.rand(5, 3), torch.randn(5, 4, 6))
    answer = MaskAnswer([view], (12, 18), resize_votes=True)
    votes = F.interpolate(view.masks.sigmoid()[None], (12, 18), mode="bilinear")[0]
    scores = torch.einsum("nhw,nk->khw", votes, view.probs)
    assert torch.equal(answer.label().labels, scores.argmax(dim=0))
    torch.testing.assert_close(answer.score_rows(0, 12), scores)
    close = scores.amax(dim=0) / scores.sum(dim=0).clamp(min=1)
    torch.testing.assert_close(answer.label().confidence, close)


def test_scores_per_pixel():
    scores = torch.tensor([[[0.9, 0.4]], [[0.3, 0.1]]])
    answer = PixelAnswer(lambda top, bottom: scores[:, top:bottom], (1, 2), 2)
    close(answer.label().confidence, [[0.75, 0.4]])
    close(answer.probabilities(), [[[0.75, 0.4]], [[0.25, 0.1]]])
    opinions = answer.opinions(torch.tensor([[-1, 0]]), 1)
    close(opinions.scores, [[0.4, 0.1]])
    assert opinions.head is None and opinions.clip is None
