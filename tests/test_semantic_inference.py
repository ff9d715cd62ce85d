"""Proposals to a label map: by hand, and strip by strip against the whole."""

import math

import pytest
import torch
import torch.nn.functional as F

from zsk import semantic_inference
from zsk.mask_votes import MaskVotes
from zsk.semantic_inference import (
    label_map,
    label_map_of_views,
    labels_of_all_pixels,
    resize_rows,
)

LN3 = math.log(3.0)  # sigmoid(ln 3) = 0.75


def test_scores_are_the_probabilities_weighed_by_the_masks():
    probs = torch.tensor([[0.9, 0.1], [0.4, 0.6]])
    masks = torch.tensor([[[LN3, -LN3, -LN3]], [[-LN3, -LN3, LN3]]])
    # pixel 0: 0.675 + 0.1 against 0.075 + 0.15; pixel 1: 0.225 + 0.1 against 0.025 + 0.15;
    # pixel 2: 0.225 + 0.3 = 0.525 against 0.025 + 0.45 = 0.475
    labels = label_map(probs, masks, (1, 3))
    assert labels.tolist() == [[0, 0, 0]] and labels.dtype == torch.int64
    probs[1] = torch.tensor(
        [0.3, 0.7]
    )  # pixel 2: 0.225 + 0.225 = 0.45 against 0.025 + 0.525 = 0.55
    assert label_map(probs, masks, (1, 3)).tolist() == [[0, 0, 1]]


def test_a_proposal_without_scores_takes_no_part():
    probs = torch.tensor([[0.0, 0.0], [0.0, 0.1]])
    assert label_map(probs, torch.tensor([[[50.0]], [[-9.0]]]), (2, 2)).tolist() == [[1, 1], [1, 1]]


def test_masks_are_resized_to_the_image():
    probs = torch.eye(2)
    masks = torch.tensor([[[9.0, -9.0]], [[-9.0, 9.0]]])
    assert label_map(probs, masks, (2, 4)).tolist() == [[0, 0, 1, 1]] * 2


def test_scores_are_averaged_over_views_of_any_size():
    """Two names, one proposal each of probability 1, masks of 0.75 or 0.25."""
    probs = torch.eye(2)
    # left pixel 0.75 against 0.25, right pixel 0.25 against 0.25: a tie goes to name 0
    fine = (probs, torch.tensor([[[LN3, -LN3]], [[-LN3, -LN3]]]))
    # both pixels: 0.25 against sigmoid(0) = 0.5
    coarse = (probs, torch.tensor([[[-LN3]], [[0.0]]]))
    assert label_map_of_views([fine], (1, 2)).tolist() == [[0, 0]]
    assert label_map_of_views([coarse], (1, 2)).tolist() == [[1, 1]]
    # left 1.0 against 0.75, right 0.5 against 0.75
    assert label_map_of_views([fine, coarse], (1, 2)).tolist() == [[0, 1]]


def test_competing_masks_decide_otherwise_than_votes_that_add_up():
    """Two half-sure masks of name 0 outvote a sure one of name 1, until they compete with it."""
    probs = torch.eye(2)[[0, 0, 1]]
    masks = torch.tensor([0.0, 0.0, LN3]).view(3, 1, 1)  # 0.5 + 0.5 against 0.75
    compete = MaskVotes(1.0)  # 1/5 + 1/5 against 3/5
    assert label_map(probs, masks, (1, 1)).tolist() == [[0]]
    assert label_map(probs, masks, (1, 1), compete).tolist() == [[1]]
    assert labels_of_all_pixels([(probs, masks)], (1, 1), compete).tolist() == [[1]]


def test_views_may_have_different_numbers_of_proposals(monkeypatch):
    monkeypatch.setattr(semantic_inference, "STRIP_VALUES", 1)  # a row at a time
    views = [(torch.rand(4, 3), torch.randn(4, 2, 2)), (torch.rand(1, 3), torch.randn(1, 5, 4))]
    both = torch.cat([probs for probs, _ in views])
    masks = [F.interpolate(m[None], (6, 7), mode="bilinear")[0].sigmoid() for _, m in views]
    expected = torch.einsum("nk,nhw->khw", both, torch.cat(masks)).argmax(dim=0)
    assert torch.equal(label_map_of_views(views, (6, 7)), expected)
    assert torch.equal(labels_of_all_pixels(views, (6, 7)), expected)


@pytest.mark.parametrize("size", [(13, 9), (3, 2), (1, 1), (40, 1)])
@pytest.mark.parametrize("values", [1, 9 * 6 * 4, 10**6])
def test_strips_equal_the_whole(monkeypatch, size, values):
    torch.manual_seed(0)
    probs, masks = torch.rand(4, 6), torch.randn(4, 7, 5)
    whole = F.interpolate(masks[None], size, mode="bilinear", align_corners=False)[0].sigmoid()
    scores = torch.einsum("nk,nhw->khw", probs, whole)
    best = scores.topk(2, dim=0).values
    assert (best[0] - best[1]).min() > 1e-5  # no pixel is decided by rounding
    monkeypatch.setattr(semantic_inference, "STRIP_VALUES", values)
    assert torch.equal(labels_of_all_pixels([(probs, masks)], size), scores.argmax(dim=0))


def test_no_strip_is_larger_than_asked_for(monkeypatch):
    sizes = []

    def spy(probs, logits):
        sizes.append(max(probs.shape) * logits.shape[1] * logits.shape[2])
        return scores(probs, logits)

    scores = semantic_inference._scores
    monkeypatch.setattr(semantic_inference, "_scores", spy)
    monkeypatch.setattr(semantic_inference, "STRIP_VALUES", 200)
    views = [(torch.rand(4, 6), torch.randn(4, 7, 5))]
    assert labels_of_all_pixels(views, (17, 10)).shape == (17, 10)
    assert len(sizes) == 6 and max(sizes) == 180  # three rows of 10 pixels by 6 classes


@pytest.mark.parametrize(
    "source, target",
    [((7, 5), (29, 31)), ((7, 5), (3, 2)), ((7, 5), (7, 11)), ((1, 1), (4, 6)), ((7, 5), (1, 1))],
)
def test_resized_rows_are_those_of_the_whole_resize(source, target):
    torch.manual_seed(0)
    maps = torch.randn(2, *source)
    whole = F.interpolate(maps[None], target, mode="bilinear", align_corners=False)[0]
    height, width = target
    torch.testing.assert_close(
        resize_rows(maps, height, width, 0, height), whole, rtol=0, atol=1e-6
    )
    for row in range(height):
        strip = resize_rows(maps, height, width, row, row + 1)
        torch.testing.assert_close(strip, whole[:, row : row + 1], rtol=0, atol=1e-6)
