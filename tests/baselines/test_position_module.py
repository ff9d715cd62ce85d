"""SIGN's encoding by hand, and what its module adds."""

import math

import pytest
import torch
from torch import nn

from zsk.baselines.generative.position_module import PositionModule, relative_positions


def test_encoding_by_hand():
    """Three columns at 0, 255.5 and 511, one row at 0; frequencies 1 and 1/100."""
    encoding = relative_positions(1, 3, 8, torch.device("cpu"))
    assert encoding.shape == (8, 1, 3)
    place = 255.5
    middle = [math.sin(place), math.cos(place), math.sin(place / 100), math.cos(place / 100)]
    assert encoding[:, 0, 1].tolist() == pytest.approx([*middle, 0, 1, 0, 1], abs=1e-4)


def test_positions_are_relative_to_the_size():
    small, large = (relative_positions(n, 2 * n, 12, torch.device("cpu")) for n in (5, 9))
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        torch.testing.assert_close(small[:, row, column], large[:, row, column])
    torch.testing.assert_close(small[6:, 2], large[6:, 4, :10])  # the middle row is the middle row
    assert not torch.allclose(small[:6, :, 3], small[:6, :, 4])


def test_the_module_adds_to_the_maps():
    maps = torch.randn(2, 4, 3, 5)
    module = PositionModule(4, 6)
    merge = module.surroundings.merge
    nn.init.zeros_(merge.weight)
    merge.bias.data = torch.tensor([0.0, 1.0, 2.0, -1.0])  # ReLU
    expected = maps + torch.tensor([0.0, 1.0, 2.0, 0.0]).view(4, 1, 1)
    torch.testing.assert_close(module(maps), expected)


def test_places_are_told_apart():
    """A map of one value: cells differ by their places alone."""
    out = PositionModule(8, 6)(torch.zeros(1, 8, 40, 40)) - 0
    inner = out[0, :, 10:30, 10:30].flatten(1)  # away from the border's zeros
    assert (inner[:, :, None] - inner[:, None]).abs().amax(dim=0).fill_diagonal_(1).min() > 0
