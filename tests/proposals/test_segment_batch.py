"""The segments of a batch as few tensors."""

import torch

from zsk.data.targets import segments_from_sem_seg
from zsk.proposals.segment_batch import SegmentBatch

TWO, NONE, ONE = [[3, 3, 7, 7]] * 2, [[255] * 4] * 2, [[255, 5, 5, 5]] * 2


def batch(*label_maps):
    return SegmentBatch.from_images([segments_from_sem_seg(torch.tensor(m)) for m in label_maps])


def test_segments_lie_one_after_the_other():
    joined = batch(TWO, NONE, ONE)
    assert joined.counts == [2, 0, 1]
    assert joined.labels.tolist() == [3, 7, 5]
    assert joined.masks[:, 0].int().tolist() == [[1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 1, 1]]
    assert joined.valid[:, 0].int().tolist() == [[1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 1, 1]]


def test_images_are_what_the_batch_was_made_of():
    for i, image in enumerate(batch(TWO, NONE, ONE).images()):
        expected = segments_from_sem_seg(torch.tensor([TWO, NONE, ONE][i]))
        for found, part in zip(image, expected):
            assert torch.equal(found, part)


def test_padding_has_no_pixel():
    labels, masks = batch(TWO, NONE, ONE).padded()
    assert labels.tolist() == [[3, 7], [0, 0], [5, 0]]
    assert masks.shape == (3, 2, 2, 4)
    assert masks.flatten(2).sum(dim=2).tolist() == [[4, 4], [0, 0], [6, 0]]


def test_resizing_takes_the_nearest_pixel():
    small = batch(TWO, NONE, ONE).resized(torch.Size((1, 2)))
    assert small.masks.dtype == small.valid.dtype == torch.bool
    assert small.masks.int().tolist() == [[[1, 0]], [[0, 1]], [[0, 1]]]
    assert small.valid.int().tolist() == [[[1, 1]], [[0, 0]], [[0, 1]]]


def test_no_segment_at_all():
    joined = batch(NONE, NONE)
    assert joined.resized(torch.Size((1, 2))).masks.shape == (0, 1, 2)
    labels, masks = joined.padded()
    assert labels.shape == (2, 0) and masks.shape == (2, 0, 2, 4)
