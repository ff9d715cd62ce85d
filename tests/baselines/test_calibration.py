"""What the scores of seen classes lose, by hand."""

import pytest
import torch

from zsk.baselines.per_pixel.calibration import calibrated_logits, calibrated_scores
from zsk.regions import Ensemble

SEEN = torch.tensor([True, True, False])


def column(*values):
    return torch.tensor(values)[:, None, None]


def test_a_penalty_on_probabilities():
    """The order is that of 0.7 - 0.5, 0.1 - 0.5 and 0.2; no score is negative."""
    on = Ensemble("head", seen_penalty=0.5, penalty_on="probabilities")
    scores = calibrated_scores(column(0.7, 0.1, 0.2), SEEN, on)
    torch.testing.assert_close(scores, column(0.2, 0.0, 0.2))
    # unseen classes keep their order, however small they are, and win where no seen one is over 0.5
    flags, small = torch.tensor([True, True, False, False]), column(0.5, 0.5, 1e-9, 2e-9)
    assert calibrated_scores(small, flags, on).argmax() == 3
    assert calibrated_scores(column(0.5, 0.5, 0.0, 0.0), flags, on).argmax() == 2
    assert torch.equal(calibrated_scores(small, flags | True, on), small)  # nothing to weigh
    # without a penalty a class of probability 0 has none: a teacher names it for nothing
    off = Ensemble("head", seen_penalty=0.0, penalty_on="probabilities")
    assert torch.equal(calibrated_scores(column(1.0, 0.0, 0.0), SEEN, off), column(1.0, 0.0, 0.0))
    assert torch.equal(calibrated_logits(column(1.0, 2.0, 3.0), SEEN, on), column(1.0, 2.0, 3.0))


def test_a_penalty_on_logits():
    on = Ensemble("head", seen_penalty=0.5)
    torch.testing.assert_close(
        calibrated_logits(column(1.0, 2.0, 3.0), SEEN, on), column(0.5, 1.5, 3.0)
    )
    assert torch.equal(calibrated_scores(column(0.5, 0.3, 0.2), SEEN, on), column(0.5, 0.3, 0.2))


@pytest.mark.parametrize(
    "distances, expected",
    [
        ((4.0, 9.0, 5.0), (4.0, 9.0, 3.5)),  # the second nearest
        ((4.0, 3.0, 5.0), (4.0, 3.0, 5.0)),  # two seen classes are nearer
        ((4.0, 9.0, 2.0), (4.0, 9.0, 1.4)),
    ],
)
def test_a_circle_of_apollonius(distances, expected):
    on = Ensemble("head", seen_penalty=0.3, penalty_on="distances")
    torch.testing.assert_close(calibrated_logits(-column(*distances), SEEN, on), -column(*expected))
    one = calibrated_logits(-column(2.0), torch.tensor([False]), on)
    torch.testing.assert_close(one, -column(1.4))
