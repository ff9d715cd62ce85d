"""Masks and labels at points, on maps of a few pixels."""

import pytest
import torch
from pixel_centres import centres

from zsk.data.targets import segments_from_sem_seg
from zsk.proposals.losses import mask_losses
from zsk.proposals.masks import resize_masks
from zsk.proposals.point_sampling import (
    labels_at,
    logits_at,
    random_points,
    segments_at,
    uncertain_points,
)
from zsk.proposals.segment_batch import SegmentBatch


def test_logits_between_pixels_are_mixed_and_at_the_border_continued():
    masks = torch.tensor([[[[1.0, 3.0]], [[10.0, 20.0]]]])  # two masks of 1 x 2
    x = torch.tensor([0.0, 0.25, 0.5, 0.625, 1.0])
    points = torch.stack([x, torch.tensor([0.5, 0.1, 0.5, 0.9, 0.5])], dim=1)[None]
    expected = torch.tensor([[[[1, 1, 2, 2.5, 3]], [[10, 10, 15, 17.5, 20]]]])
    torch.testing.assert_close(logits_at(masks, points), expected)


@pytest.mark.parametrize("size", [(6, 10), (3, 5), (2, 2)])
def test_logits_at_the_pixel_centres_of_a_size_are_those_resized_to_it(size):
    torch.manual_seed(0)
    masks = torch.randn(2, 4, 3, 5)
    found = logits_at(masks, centres(*size).expand(2, -1, -1))
    torch.testing.assert_close(found, resize_masks(masks, size).flatten(2)[:, :, None])


def test_labels_are_those_of_the_pixel_that_a_point_lies_in():
    maps = torch.tensor([[[True, False], [False, False]], [[False, True], [True, True]]])
    points = torch.tensor([[[0.49, 0.49], [0.51, 0.49], [0.0, 0.0], [1.0, 1.0]]]).expand(3, -1, -1)
    found = labels_at(maps, torch.tensor([1, 0, 1]), points)
    first, second = [[True, False, True, False]], [[False, True, False, True]]
    assert found.tolist() == [second, first, second]


def test_every_image_has_its_own_points():
    maps = [[[3, 7]], [[255, 255]], [[255, 5]]]
    batch = SegmentBatch.from_images([segments_from_sem_seg(torch.tensor(m)) for m in maps])
    left, right = [0.2, 0.5], [0.8, 0.5]
    sampled = segments_at(batch, torch.tensor([[left, right], [left, left], [right, right]]))
    assert sampled.counts == [2, 0, 1] and sampled.labels.tolist() == [3, 7, 5]
    assert sampled.masks.int().tolist() == [[[1, 0]], [[0, 1]], [[1, 1]]]
    assert sampled.valid.int().tolist() == [[[1, 1]], [[0, 0]], [[1, 1]]]


def test_without_a_segment_in_the_batch_there_is_nothing_to_sample():
    batch = SegmentBatch.from_images([segments_from_sem_seg(torch.full((2, 2), 255))])
    sampled = segments_at(batch, torch.rand(1, 5, 2))
    assert sampled.masks.shape == (0, 1, 5) and not sampled.valid.any()


def test_three_quarters_of_the_points_are_where_the_mask_is_least_sure():
    torch.manual_seed(0)
    masks = torch.linspace(-8, 8, 33).expand(2, 33, 33)  # 0 in the middle column
    masks = torch.stack([masks[0], masks[1] + 4])  # and a quarter of the width further left
    everywhere = torch.ones(1, 33, 33, dtype=torch.bool)
    points = uncertain_points(masks, everywhere, torch.zeros(2, dtype=torch.int64), 400)
    assert points.shape == (2, 400, 2) and 0 <= points.min() and points.max() < 1
    for mask, middle in zip(points, (0.5, 0.25)):
        # 300 of 1200 uniform candidates: those within an eighth of the width
        distances = (mask[:, 0] - middle).abs()
        assert distances[:300].max() < 0.15
        assert distances[300:].max() > 0.3  # the others are anywhere


def test_uncertain_pixels_that_are_ignored_are_not_asked_for():
    torch.manual_seed(0)
    masks = torch.tensor([[[0.0, 9.0]]] * 2)  # unsure on the left
    valid = torch.tensor([[[True, True]], [[False, True]]])
    points = uncertain_points(masks, valid, torch.tensor([1, 0]), 40)[:, :30, 0]
    assert (points[0] >= 0.5).all() and (points[1] < 0.5).all()


def test_few_points_and_no_mask():
    everywhere, none = torch.ones(1, 2, 2, dtype=torch.bool), torch.zeros(0, dtype=torch.int64)
    assert uncertain_points(torch.zeros(0, 2, 2), everywhere, none, 5).shape == (0, 5, 2)
    one = torch.zeros(1, dtype=torch.int64)
    assert uncertain_points(torch.zeros(1, 2, 2), everywhere, one, 1).shape == (1, 1, 2)


def test_losses_at_many_uniform_points_come_near_those_of_all_pixels():
    torch.manual_seed(0)
    masks = resize_masks(4 * torch.randn(1, 3, 4, 4), (24, 24))
    targets, valid = torch.rand(3, 24, 24) > 0.6, torch.rand(3, 24, 24) > 0.2
    rows = torch.arange(3)
    dense = mask_losses(masks[0], targets, valid, rows, rows)
    points = random_points(3, 60000, masks.device)
    sampled = mask_losses(
        logits_at(masks[0][:, None], points)[:, 0],
        labels_at(targets, rows, points),
        labels_at(valid, rows, points),
        rows,
        rows,
    )
    torch.testing.assert_close(sampled, dense, rtol=0.05, atol=0)
