"""Both ways to cut, by hand and against each other."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clip import ColourEncoder
from torch import Tensor
from torch.nn import functional as F

from zsk.classification.box_crops import BoxCutter, shrinking
from zsk.classification.region_crops import (
    RoiCutter,
    binary_masks,
    crops_at_once,
    cutter,
    tight_boxes,
)
from zsk.errors import UserError

BOTH = pytest.mark.parametrize("way", [RoiCutter, BoxCutter])


def cut(way: type, pixels: Tensor, masks: Tensor, size: int) -> Tensor:
    """(3,H,W), (R,H,W) bool → (R,3,S,S)."""
    crops, shown = way(pixels, 20.0 * masks.float() - 10.0, 0.0, size).cut(torch.arange(len(masks)))
    assert shown.tolist() == [True] * len(masks)
    return crops


@BOTH
def test_pixels_outside_the_mask_are_zero(way):
    corners = torch.zeros(1, 8, 8, dtype=torch.bool)
    corners[0, 0, 0] = corners[0, 7, 7] = True  # the tight box is the whole image
    pixels = torch.rand(3, 8, 8) + 1
    expected = torch.zeros(3, 8, 8)
    expected[:, 0, 0], expected[:, 7, 7] = pixels[:, 0, 0], pixels[:, 7, 7]
    torch.testing.assert_close(cut(way, pixels, corners, 8)[0], expected)


@BOTH
def test_one_pixel_fills_the_crop(way):
    pixels = torch.rand(3, 6, 7)
    mask = torch.zeros(1, 6, 7, dtype=torch.bool)
    mask[0, 2, 3] = True
    torch.testing.assert_close(cut(way, pixels, mask, 1)[0, :, 0, 0], pixels[:, 2, 3])


@BOTH
def test_a_full_mask_gives_the_whole_image(way):
    pixels = torch.rand(3, 8, 12)
    mask = torch.ones(1, 8, 12, dtype=torch.bool)
    # 2 × 3 pixels fall into each pixel of the crop, whose value is their mean
    torch.testing.assert_close(cut(way, pixels, mask, 4)[0], F.avg_pool2d(pixels, (2, 3)))


@BOTH
def test_a_crop_is_the_one_an_image_library_makes(way):
    values = torch.randint(0, 256, (20, 30), dtype=torch.uint8)
    mask = torch.zeros(1, 20, 30, dtype=torch.bool)
    mask[0, 4:16, 5:29] = True  # 12 rows, 24 columns, to 6 × 6: whole pixels fall together
    crop = cut(way, values.expand(3, 20, 30).float(), mask, 6)[0, 0]
    box = Image.fromarray(values.numpy()).convert("F").resize((6, 6), Image.BOX, (5, 4, 29, 16))
    torch.testing.assert_close(crop, torch.from_numpy(np.array(box)), atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [1, 5, 24])
@pytest.mark.parametrize("grid", [(6, 9), (33, 29), (50, 61)])  # enlarged, as it is, shrunk
@pytest.mark.parametrize("threshold", [0.0, -1.5, 0.8])
def test_both_ways_give_the_same(size, grid, threshold):
    generator = torch.Generator().manual_seed(size)
    pixels = torch.randn(3, 33, 29, generator=generator)
    masks = torch.randn(12, *grid, generator=generator) * 4
    masks[0, 2:] = masks[1, :, :-2] = masks[2] = -9.0
    masks[3] = 9.0
    masks[4] = -9.0
    masks[4, 3, 3] = 1.0  # between the pixels there may be nothing
    masks[6] = torch.nan
    chosen = torch.tensor([11, *range(11)])
    expected, shown = RoiCutter(pixels, masks, threshold, size).cut(chosen)
    crops, seen = BoxCutter(pixels, masks, threshold, size).cut(chosen)
    assert seen.tolist() == shown.tolist()
    assert not seen[3] and not seen[7] and seen[4]
    torch.testing.assert_close(crops, expected, atol=1e-4, rtol=0)


def test_a_cell_that_is_no_number_spoils_only_its_surroundings():
    masks = torch.full((1, 4, 4), 5.0)
    masks[0, 0, 0] = torch.nan
    crops, _ = BoxCutter(torch.ones(3, 8, 8), masks, 0.0, 8).cut(torch.tensor([0]))
    # the cell is two pixels wide; the next pixel still has a quarter of it, and the box is whole
    expected = torch.ones(8, 8)
    expected[:3, :3] = 0
    torch.testing.assert_close(crops, expected.expand(1, 3, 8, 8))


@BOTH
def test_nothing_to_show(way):
    crops, shown = way(torch.rand(3, 8, 8), torch.full((2, 4, 4), -1.0), 0.0, 5).cut(
        torch.tensor([1])
    )
    assert crops.shape == (0, 3, 5, 5) and shown.tolist() == [False]


def test_weights_by_hand():
    # three pixels from the second on become two: each is the mean of two samples, 3/4 of a pixel
    # apart, the first of which lies 3/8 into the box, that is between two pixels' centres
    (weights,) = shrinking([(1, 4)], 5, 2)
    # samples at 0.875 and 1.625, and at 2.375 and 3.125, in units of centres
    expected = [[0.125, 0.875 + 0.375, 0.625, 0, 0], [0, 0, 0.625, 0.375 + 0.875, 0.125]]
    torch.testing.assert_close(weights, torch.tensor(expected) / 2)


def test_a_cpu_cuts_boxes():
    found = cutter(torch.rand(3, 4, 4), torch.zeros(1, 2, 2), 0.0, 2)
    assert isinstance(found, BoxCutter)
    found = cutter(torch.rand(3, 4, 4, device="meta"), torch.zeros(1, 2, 2), 0.0, 2)
    assert isinstance(found, RoiCutter)


def test_boxes_of_several_shapes():
    masks = torch.zeros(2, 5, 9, dtype=torch.bool)
    masks[0, 1, 2] = masks[0, 3, 7] = True
    masks[1, :, 8] = True
    assert tight_boxes(masks).tolist() == [[2.0, 1.0, 8.0, 4.0], [8.0, 0.0, 9.0, 5.0]]


def test_low_resolution_masks_cover_the_whole_image():
    mask = torch.tensor([[[10.0, -10.0], [10.0, -10.0]]])
    left = torch.zeros(6, 8, dtype=torch.bool)
    left[:, :4] = True
    assert torch.equal(binary_masks(mask, (6, 8), 0.0)[0], left)


@pytest.mark.parametrize("side, count", [(64, 32), (224, 5), (260, 4), (336, 2), (1024, 1)])
def test_a_cpu_takes_few_large_crops_together(side, count):
    encoder = ColourEncoder(input_size=side)
    assert crops_at_once(encoder, 0) == count
    assert crops_at_once(encoder, 7) == 7
    assert crops_at_once(encoder.to("meta"), 0) == 32
    with pytest.raises(UserError, match="MODEL.CLIP.CHUNK_SIZE is -1"):
        crops_at_once(encoder, -1)
