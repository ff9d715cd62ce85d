"""The matrices have the values of torch's resizes, also where a box is enlarged or one pixel."""

import pytest
import torch
from torch.nn import functional as F

from zsk.classification.crops import antialiased, plain_bicubic

BOXES = [(0, 40), (3, 37), (11, 16), (39, 40), (0, 1)]  # to 12 pixels: shrunk, enlarged, one pixel


@pytest.mark.parametrize("mode", ["bicubic", "bilinear", "plain"])
def test_the_columns_of_boxes(mode):
    photo = torch.rand(1, 1, 2, 40)
    start, stop = torch.tensor(BOXES).float().unbind(dim=1)
    if mode == "plain":
        matrices, options = plain_bicubic(start, stop, 40, 12), {"mode": "bicubic"}
    else:
        matrices = antialiased(start, stop, 40, 12, mode)
        options = {"mode": mode, "antialias": True}
    assert matrices.shape == (5, 12, 40)
    for matrix, (left, right) in zip(matrices, BOXES):
        expected = F.interpolate(photo[..., left:right], (2, 12), **options)
        torch.testing.assert_close(photo @ matrix.T, expected, rtol=0, atol=1e-5)
        assert not matrix[:, :left].any() and not matrix[:, right:].any()
