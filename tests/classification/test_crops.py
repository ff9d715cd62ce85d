"""Crops of proposals, by hand and against an image library."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zsk.classification.crops import cut


def crops_of(pixels: Tensor, masks: Tensor, size: int) -> Tensor:
    """(3,H,W), (R,H,W) bool → (R,3,S,S)."""
    crops, shown = cut(pixels, 20.0 * masks.float() - 10.0, 0.0, size)
    assert shown.tolist() == [True] * len(masks)
    return crops


def test_pixels_outside_the_mask_are_zero():
    corners = torch.zeros(1, 8, 8, dtype=torch.bool)
    corners[0, 0, 0] = corners[0, 7, 7] = True  # the tight box is the whole image
    pixels = torch.rand(3, 8, 8) + 1
    expected = torch.zeros(3, 8, 8)
    expected[:, 0, 0], expected[:, 7, 7] = pixels[:, 0, 0], pixels[:, 7, 7]
    torch.testing.assert_close(crops_of(pixels, corners, 8)[0], expected)


def test_one_pixel_fills_the_crop():
    pixels = torch.rand(3, 6, 7)
    mask = torch.zeros(1, 6, 7, dtype=torch.bool)
    mask[0, 2, 3] = True
    torch.testing.assert_close(crops_of(pixels, mask, 1)[0, :, 0, 0], pixels[:, 2, 3])


def test_a_crop_is_the_one_an_image_library_makes():
    values = torch.randint(0, 256, (20, 30), dtype=torch.uint8)
    masks = torch.zeros(2, 20, 30, dtype=torch.bool)
    masks[0, 4:16, 5:29] = True  # 12 rows, 24 columns, to 6 × 6: whole pixels fall together
    masks[1, 2:, :] = True  # 18 rows, 30 columns
    crops = crops_of(values.expand(3, 20, 30).float(), masks, 6)[:, 0]
    image = Image.fromarray(values.numpy()).convert("F")
    for crop, box in zip(crops, ((5, 4, 29, 16), (0, 2, 30, 20))):
        expected = torch.from_numpy(np.array(image.resize((6, 6), Image.BOX, box)))
        torch.testing.assert_close(crop, expected, atol=1e-3, rtol=0)


def test_masks_without_a_pixel_are_not_cut():
    masks = torch.full((20, 4, 4), -1.0)
    masks[3], masks[17] = 1.0, 1.0  # in different groups of masks that are enlarged together
    crops, shown = cut(torch.rand(3, 8, 8), masks, 0.0, 5)
    assert crops.shape == (2, 3, 5, 5) and shown.nonzero().flatten().tolist() == [3, 17]
