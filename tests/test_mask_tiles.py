"""Masks tile by tile against masks that were resized as a whole."""

import math

import pytest
import torch
import torch.nn.functional as F

from zsk.mask_tiles import MaskTiles, TileAxis

LN3 = math.log(3.0)  # sigmoid(ln 3) = 0.75
SIZES = [
    ((7, 5), (29, 31)),
    ((7, 5), (8, 8)),
    ((7, 5), (3, 2)),
    ((40, 30), (9, 5)),
    ((1, 1), (4, 6)),
    ((7, 5), (1, 1)),
]


def test_an_axis_by_hand():
    """Two cells under five pixels in tiles of two: the sixth pixel is the fifth again.

    The pixels lie at (u + 0.5) * 2/5 - 0.5 = -0.3, 0.1, 0.5, 0.9, 1.3; what lies outside takes the
    value at the border.
    """
    axis = TileAxis.of(5, 2, 2, torch.device("cpu"))
    assert axis.places.tolist() == [[0, 1], [0, 1], [1, 1]]
    expected = [[[1, 0], [0.9, 0.1]], [[0.5, 0.5], [0.1, 0.9]], [[1, 0], [1, 0]]]
    torch.testing.assert_close(axis.weights, torch.tensor(expected))


def test_ranges_by_hand():
    """Four cells under four pixels in tiles of two: the first tile reads cells 0 to 2.

    Its second pixel lies on the centre of cell 1 and reads cell 2 with weight 0.
    """
    tiles = MaskTiles(torch.tensor([[[LN3, -LN3, 0.0, 0.0]]]), (1, 4), 2)
    least, greatest = tiles.ranges(0, 1)
    torch.testing.assert_close(least, torch.tensor([[0.25], [0.5]]))
    torch.testing.assert_close(greatest, torch.tensor([[0.75], [0.5]]))


@pytest.mark.parametrize("source, target", SIZES)
@pytest.mark.parametrize("side", [1, 3, 16])
def test_values_are_those_of_the_resized_masks_and_keep_to_the_ranges(source, target, side):
    torch.manual_seed(0)
    logits = torch.randn(4, *source) * 3
    whole = F.interpolate(logits[None], target, mode="bilinear", align_corners=False)[0].sigmoid()
    tiles = MaskTiles(logits, target, side)
    down, across = -(-target[0] // side), -(-target[1] // side)
    rows = torch.arange(down).repeat_interleave(across)
    columns = torch.arange(across).repeat(down)
    values = tiles.values(rows, columns)
    least, greatest = tiles.ranges(0, down)
    assert (values >= least[:, None] - 1e-6).all() and (values <= greatest[:, None] + 1e-6).all()
    grid = values.view(down, across, side, side, 4).permute(4, 0, 2, 1, 3)
    grid = grid.reshape(4, down * side, across * side)[:, : target[0], : target[1]]
    torch.testing.assert_close(grid, whole, rtol=0, atol=1e-5)


def test_some_rows_of_tiles_have_the_ranges_of_all():
    torch.manual_seed(0)
    tiles = MaskTiles(torch.randn(3, 6, 8), (23, 20), 4)
    least, greatest = tiles.ranges(0, 6)
    for top, bottom in ((0, 1), (2, 5)):
        some = tiles.ranges(top, bottom)
        torch.testing.assert_close(some[0], least[top * 5 : bottom * 5])
        torch.testing.assert_close(some[1], greatest[top * 5 : bottom * 5])
