"""Class scores and masks to a label map: by hand, and against the whole score map."""

import math

import pytest
import torch
import torch.nn.functional as F

from zsk import label_map as module
from zsk.label_map import View, finite, label_map, possible_classes
from zsk.looks.true_scale import Box, resize_rows

LN3 = math.log(3.0)  # sigmoid(ln 3) = 0.75


def whole_scores(views, size):
    """All K x H x W scores at once."""
    total = 0
    for probs, masks, box, *_ in views:
        resized = resize_rows(masks, box, size)
        total = total + torch.einsum("nk,nhw->khw", probs, resized.sigmoid())
    return total


def labels_of(probs, masks, size, **options):
    return label_map([View(probs, masks)], size, **options).labels.tolist()


def test_scores_are_the_probabilities_weighed_by_the_masks():
    probs = torch.tensor([[0.9, 0.1], [0.4, 0.6]])
    masks = torch.tensor([[[LN3, -LN3, -LN3]], [[-LN3, -LN3, LN3]]])
    # pixel 0: 0.675 + 0.1 against 0.075 + 0.15; pixel 1: 0.225 + 0.1 against 0.025 + 0.15;
    # pixel 2: 0.225 + 0.3 = 0.525 against 0.025 + 0.45 = 0.475
    labels = label_map([View(probs, masks)], (1, 3)).labels
    assert labels.tolist() == [[0, 0, 0]] and labels.dtype == torch.int64
    probs[1] = torch.tensor([0.3, 0.7])  # pixel 2: 0.225 + 0.225 against 0.025 + 0.525
    assert labels_of(probs, masks, (1, 3)) == [[0, 0, 1]]


def test_a_proposal_without_scores_takes_no_part():
    probs = torch.tensor([[0.0, 0.0], [0.0, 0.1]])
    masks = torch.tensor([[[50.0]], [[-9.0]]])
    assert labels_of(probs, masks, (2, 2)) == [[1, 1], [1, 1]]


def test_the_lowest_class_wins_a_tie():
    probs = torch.tensor([[0.1, 0.4, 0.4]])
    assert labels_of(probs, torch.zeros(1, 2, 2), (1, 1)) == [[1]]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_cell_that_is_not_finite_changes_its_surroundings_only(value):
    masks = torch.tensor([[[9.0] * 8] * 8, [[1.0] * 8] * 8])
    masks[0, 0, 0] = value
    labels = label_map([View(torch.eye(2), finite(masks))], (64, 64)).labels
    assert (labels[12:] == 0).all() and (labels[:, 12:] == 0).all()
    assert labels[0, 0] == (0 if value > 0 else 1)


def test_masks_are_resized_to_the_image():
    masks = torch.tensor([[[9.0, -9.0]], [[-9.0, 9.0]]])
    assert labels_of(torch.eye(2), masks, (2, 4)) == [[0, 0, 1, 1]] * 2


def test_scores_are_averaged_over_views_of_any_size():
    """Two names, one proposal each of probability 1, masks of 0.75 or 0.25."""
    probs = torch.eye(2)
    # left pixel 0.75 against 0.25, right pixel 0.25 against 0.25: a tie goes to name 0
    fine = View(probs, torch.tensor([[[LN3, -LN3]], [[-LN3, -LN3]]]))
    # both pixels: 0.25 against sigmoid(0) = 0.5
    coarse = View(probs, torch.tensor([[[-LN3]], [[0.0]]]))
    assert label_map([fine], (1, 2)).labels.tolist() == [[0, 0]]
    assert label_map([coarse], (1, 2)).labels.tolist() == [[1, 1]]
    # left 1.0 against 0.75, right 0.5 against 0.75
    assert label_map([fine, coarse], (1, 2)).labels.tolist() == [[0, 1]]


def test_competing_masks_share_one_vote_per_pixel():
    """Two half-sure masks of name 0 outvote a sure one of name 1, unless masks compete."""
    probs = torch.eye(2)[[0, 0, 1]]
    masks = torch.tensor([0.0, 0.0, LN3]).view(3, 1, 1)  # 0.5 + 0.5 against 0.75
    assert labels_of(probs, masks, (1, 1)) == [[0]]
    assert labels_of(probs, masks, (1, 1), mask_softmax=1.0) == [[1]]  # 2/5, 3/5


@pytest.mark.parametrize("size", [(13, 9), (3, 2), (1, 1), (40, 1), (70, 90)])
@pytest.mark.parametrize("block", [1, 4, 7, 32])
def test_blocks_equal_the_whole(monkeypatch, size, block):
    monkeypatch.setattr(module, "FEW_CLASSES", 0)
    box = Box(0.25, 0.0, 4.5, 6.9)
    views = [
        View(torch.rand(4, 6), torch.randn(4, 7, 5), box),
        View(torch.rand(2, 6), torch.randn(2, 3, 9)),
    ]
    scores = whole_scores(views, size)
    best = scores.topk(2, dim=0).values
    assert (best[0] - best[1]).min() > 1e-6  # no pixel is decided by rounding
    monkeypatch.setattr(module, "BLOCK", block)
    assert torch.equal(label_map(views, size).labels, scores.argmax(dim=0))


@pytest.mark.parametrize("sharpness", [0.5, 8.0])
@pytest.mark.parametrize(
    "grid, size",
    [((7, 5), (90, 61)), ((48, 64), (96, 128)), ((80, 90), (50, 67)), ((1, 1), (5, 4))],
)
def test_no_class_that_wins_a_pixel_is_left_out(sharpness, grid, size):
    probs = (4 * torch.randn(30, 500)).softmax(dim=1)
    box = Box(0.3, 0.0, grid[1], grid[0] - 0.6)
    views = [View(probs, sharpness * torch.randn(30, *grid), place) for place in (None, box)]
    winners = whole_scores(views, size).argmax(dim=0)
    assert torch.equal(label_map(views, size).labels, winners)


def test_most_of_many_classes_are_left_out():
    """Four square masks, each with a class of its own that is far more probable than 2,000."""
    probs = torch.full((4, 2000), 1e-4)
    probs[torch.arange(4), 100 * torch.arange(4)] = 0.8
    masks = torch.full((4, 16, 16), -9.0)
    for n in range(4):
        masks[n, 8 * (n // 2) : 8 * (n // 2) + 8, 8 * (n % 2) : 8 * (n % 2) + 8] = 9.0
    votes = masks.sigmoid()
    corners = [
        possible_classes([votes[:, y : y + 4, x : x + 4].flatten(1)], [probs], [probs]).tolist()
        for y in (0, 12)
        for x in (0, 12)
    ]
    assert corners == [[0], [100], [200], [300]]


@pytest.mark.parametrize(
    "source, target",
    [((7, 5), (29, 31)), ((7, 5), (3, 2)), ((7, 5), (7, 11)), ((1, 1), (4, 6)), ((7, 5), (1, 1))],
)
def test_resized_rows_are_those_of_the_whole_resize(source, target):
    maps = torch.randn(2, *source)
    whole = F.interpolate(maps[None], target, mode="bilinear", align_corners=False)[0]
    for row in range(target[0]):
        strip = resize_rows(maps, None, target, row, row + 1)
        torch.testing.assert_close(strip, whole[:, row : row + 1], rtol=0, atol=1e-5)


def test_votes_are_resized_where_they_are_asked_for():
    """Four pixels of one class beside a faint one: 0.5 · sigmoid of the mean, or its mean."""
    masks = torch.tensor([[[8.0, -8.0]], [[0.0, 0.0]]])
    probs = torch.tensor([[0.5, 0.0], [0.0, 0.45]])
    # of 4 pixels, the second has logit 4 (a vote of 0.98) or the vote 0.75
    assert labels_of(probs, masks, (1, 4)) == [[0, 0, 1, 1]]
    probs[1, 1] = 0.8
    assert labels_of(probs, masks, (1, 4)) == [[0, 0, 1, 1]]
    assert labels_of(probs, masks, (1, 4), resize_votes=True) == [[0, 1, 1, 1]]
