"""Label maps to segments."""

import torch

from zsk.data.targets import UNNAMED, segments_from_sem_seg, with_unnamed


def test_each_class_present_is_one_segment_in_ascending_order() -> None:
    segments = segments_from_sem_seg(torch.tensor([[7, 2, 255], [2, 7, 7]]))
    assert segments.labels.tolist() == [2, 7] and segments.labels.dtype == torch.int64
    assert segments.masks.dtype == segments.valid.dtype == torch.bool
    assert segments.masks.int().tolist() == [[[0, 1, 0], [1, 0, 0]], [[1, 0, 0], [0, 1, 1]]]
    assert segments.valid.int().tolist() == [[1, 1, 0], [1, 1, 1]]


def test_without_a_label_there_is_no_segment() -> None:
    segments = segments_from_sem_seg(torch.full((2, 3), 255))
    assert segments.labels.shape == (0,) and segments.labels.dtype == torch.int64
    assert segments.masks.shape == (0, 2, 3) and segments.masks.dtype == torch.bool
    assert not segments.valid.any()


def test_unnamed_segments_come_after_the_named_ones() -> None:
    named = segments_from_sem_seg(torch.tensor([[4, 255, 255, 255]]))
    segments = with_unnamed(named, torch.tensor([[255, 9, 2, 255]]))
    assert segments.labels.tolist() == [4, UNNAMED, UNNAMED]
    assert segments.masks.int().tolist() == [[[1, 0, 0, 0]], [[0, 0, 1, 0]], [[0, 1, 0, 0]]]
    assert segments.valid.tolist() == [[True, True, True, False]]
    for before, after in zip(named, with_unnamed(named, torch.full((1, 4), 255))):
        assert torch.equal(before, after)
