"""Crops of proposals, by hand and against CLIP's own preprocessing."""

import pytest
import torch
from PIL import Image
from tiny_clip import ColourEncoder
from torch.nn import functional as F

from zsk.classification.crops import masked_crops


def test_pixels_outside_the_mask_are_zero():
    corners = torch.zeros(1, 8, 8, dtype=torch.bool)
    corners[0, 0, 0] = corners[0, 7, 7] = True  # the tight box is the whole image
    pixels = torch.rand(3, 8, 8) + 1
    expected = torch.zeros(3, 8, 8)
    expected[:, 0, 0], expected[:, 7, 7] = pixels[:, 0, 0], pixels[:, 7, 7]
    torch.testing.assert_close(masked_crops(pixels, corners, ColourEncoder(8))[0], expected)


def test_one_pixel_fills_the_crop():
    pixels = torch.rand(3, 6, 7)
    mask = torch.zeros(1, 6, 7, dtype=torch.bool)
    mask[0, 2, 3] = True
    crop = masked_crops(pixels, mask, ColourEncoder(1))[0]
    torch.testing.assert_close(crop[:, 0, 0], pixels[:, 2, 3])


@pytest.mark.parametrize("side", [40, 300])  # enlarged, shrunk
def test_a_crop_is_that_of_clips_own_preprocessing(side):
    """A square proposal of sharp noise, through the transform that comes with CLIP."""
    transform = pytest.importorskip("clip.clip")._transform(224)
    values = torch.randint(0, 2, (3, side, side), dtype=torch.uint8) * 255
    masks = torch.zeros(1, side + 9, side + 5, dtype=torch.bool)
    masks[0, 4 : side + 4, 2 : side + 2] = True
    encoder = ColourEncoder(224)
    encoder.pixel_mean = tuple(255 * m for m in (0.48145466, 0.4578275, 0.40821073))
    encoder.pixel_std = tuple(255 * s for s in (0.26862954, 0.26130258, 0.27577711))
    image = torch.zeros(3, *masks.shape[1:])
    image[:, masks[0]] = values.flatten(1).float()
    crop = masked_crops(encoder.normalised(image), masks, encoder)[0]
    expected = transform(Image.fromarray(values.permute(1, 2, 0).numpy()))
    # an image library rounds to whole colours, between rows and columns, too
    std = torch.tensor(encoder.pixel_std).view(3, 1, 1)
    assert ((crop - expected) * std).abs().max() < 1.5


def test_crops_without_antialiasing_are_plain_bicubic():
    pixels, masks = torch.rand(3, 9, 12), torch.zeros(1, 9, 12, dtype=torch.bool)
    masks[0, 1:9, 2:12] = True
    expected = F.interpolate(pixels[None, :, 1:9, 2:12], (4, 4), mode="bicubic")[0]
    torch.testing.assert_close(masked_crops(pixels, masks, ColourEncoder(4), False)[0], expected)
