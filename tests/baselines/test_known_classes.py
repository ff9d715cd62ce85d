"""Columns of a learned classifier by class vectors, in any order; strangers are refused."""

import pytest
import torch

from zsk.baselines.known_classes import KnownClasses
from zsk.errors import UserError


def test_columns_in_any_order_and_strangers():
    classes = KnownClasses(torch.eye(4)[:3], torch.tensor([True, False, True]))
    assert classes.columns(torch.eye(4)[[2, 0]]).tolist() == [2, 0]
    assert classes.columns(torch.eye(4)[:0]).tolist() == []
    with pytest.raises(UserError, match="3 classes of its training only, and 1 of the 2 names"):
        classes.columns(torch.eye(4)[[3, 1]])


def test_labels_of_some_classes_become_those_of_all():
    sem_seg = torch.tensor([[0, 255, 2, 1]])
    classes = KnownClasses(torch.eye(4), torch.ones(4, dtype=torch.bool))
    assert classes.labels(sem_seg, torch.eye(4)[[0, 1, 3]]).tolist() == [[0, 255, 3, 1]]
    many = KnownClasses(torch.eye(300), torch.ones(300, dtype=torch.bool))
    assert many.labels(sem_seg, torch.eye(300)[[0, 1, 299]]).tolist() == [[0, 65535, 299, 1]]
