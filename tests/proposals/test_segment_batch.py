"""The segments of a batch as few tensors."""

import torch

from zsk.data.targets import SegmentBatch, segments_from_sem_seg

LABELS = [[[3, 3, 7, 7]] * 2, [[255] * 4] * 2, [[255, 5, 5, 5]] * 2]  # two segments, none, one


def test_images_are_what_the_batch_was_made_of():
    images = [segments_from_sem_seg(torch.tensor(labels)) for labels in LABELS]
    batch = SegmentBatch.from_images(images)
    assert batch.counts == [2, 0, 1] and batch.labels.tolist() == [3, 7, 5]
    for found, image in zip(batch.images(), images):
        assert all(torch.equal(part, expected) for part, expected in zip(found, image))


def test_resizing_takes_the_nearest_pixel():
    images = [segments_from_sem_seg(torch.tensor(labels)) for labels in LABELS]
    small = SegmentBatch.from_images(images).resized(torch.Size((1, 2)))
    assert small.masks.dtype == small.valid.dtype == torch.bool
    assert small.masks.int().tolist() == [[[1, 0]], [[0, 1]], [[0, 1]]]
    assert small.valid.int().tolist() == [[[1, 1]], [[0, 0]], [[0, 1]]]
