"""Region encoders on an encoder that says the mean colour of what it is shown."""

import pytest
import torch
from tiny_clip import ColourEncoder

from zsk.classification import region_encoder
from zsk.classification.region_encoder import CropEncoder, OnePassEncoder, build_region_encoder
from zsk.errors import UserError
from zsk.looks.true_scale import Box

KINDS = pytest.mark.parametrize("kind", [CropEncoder, OnePassEncoder])


def red_and_green() -> torch.Tensor:
    """(3,8,8) uint8: red on the left, green on the right."""
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    image[0, :, :4] = 200
    image[1, :, 4:] = 200
    return image


def logits(*masks: torch.Tensor) -> torch.Tensor:
    return torch.stack([20.0 * mask.float() - 10.0 for mask in masks])


def halves() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Nothing, the left half, the right half of 8 × 8."""
    left = torch.zeros(8, 8, dtype=torch.bool)
    left[:, :4] = True
    return torch.zeros_like(left), left, ~left


@KINDS
def test_no_proposal_and_empty_masks_are_never_encoded(kind):
    encoder = ColourEncoder()
    embeddings, valid = kind(encoder)(red_and_green(), torch.zeros(0, 8, 8))
    assert embeddings.shape == (0, 3) and valid.shape == (0,)
    empty = torch.stack([torch.full((8, 8), -10.0), torch.full((8, 8), float("nan"))])
    embeddings, valid = kind(encoder)(red_and_green(), empty)
    assert valid.tolist() == [False, False] and embeddings.tolist() == [[0.0] * 3] * 2
    assert encoder.batches == []


@KINDS
def test_every_mask_shows_its_colour(kind):
    encoder = ColourEncoder()
    masks = logits(*halves()).requires_grad_()
    embeddings, valid = kind(encoder)(red_and_green(), masks)
    assert valid.tolist() == [False, True, True] and encoder.batches == [2]
    torch.testing.assert_close(embeddings, torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]))
    assert embeddings.dtype == torch.float32 and not embeddings.requires_grad


def test_the_encoder_gets_normalised_pixels():
    class Keeping(ColourEncoder):
        def _image_features(self, crops):
            self.crops = crops
            return super()._image_features(crops)

    encoder = Keeping(pixel_mean=50.0)
    encoder.pixel_std = (1.0, 2.0, 4.0)
    image = torch.full((3, 8, 8), 58, dtype=torch.uint8)
    CropEncoder(encoder)(image, logits(halves()[1]))
    assert encoder.crops[0, :, 0, 0].tolist() == pytest.approx([8.0, 4.0, 2.0])


@KINDS
def test_the_threshold_is_one_of_the_sigmoid(kind):
    weak = torch.full((1, 8, 8), 1.0)  # sigmoid(1) = 0.73
    for threshold, expected in ((0.7, True), (0.75, False)):
        _, valid = kind(ColourEncoder(), mask_thresholds=[threshold])(red_and_green(), weak)
        assert valid.tolist() == [expected]


@KINDS
def test_looks_at_two_thresholds_are_averaged_where_both_show_something(kind):
    """At 0.3 the first mask is the whole photo, half red and half green; at 0.7 it is red."""
    _, left, right = halves()
    both = torch.where(left, 9.0, 0.0)[None]  # sigmoids 1 and 0.5
    weak = torch.where(right, 0.0, -9.0)[None]  # nothing is over 0.7
    masks = torch.cat([both, weak, torch.full((1, 8, 8), -9.0)])
    embeddings, valid = kind(ColourEncoder(), [0.3, 0.7])(red_and_green(), masks)
    assert valid.tolist() == [True, True, False]
    half = 0.5**0.5
    expected = [[(half + 1) / 2, half / 2, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    torch.testing.assert_close(embeddings, torch.tensor(expected), atol=1e-5, rtol=0)


@KINDS
def test_a_photo_on_a_part_of_the_masks(kind):
    """The photo lies on the upper left quarter of 8 x 8 cells, and its red half on two columns."""
    red = torch.zeros(8, 8, dtype=torch.bool)
    red[:, :2] = True
    embeddings, _ = kind(ColourEncoder())(red_and_green(), logits(red, ~red), Box(0, 0, 4, 4))
    torch.testing.assert_close(embeddings, torch.eye(3)[:2])


def test_masks_without_a_pixel_are_not_cut():
    encoder, masks = ColourEncoder(5), torch.full((20, 4, 4), -1.0)
    masks[3], masks[17] = 1.0, 1.0  # in different groups of masks that are enlarged together
    _, valid = CropEncoder(encoder)(red_and_green(), masks)
    assert encoder.batches == [2] and valid.nonzero().flatten().tolist() == [3, 17]


def test_one_pass_encodes_the_photo_once_for_all_thresholds():
    encoder = ColourEncoder()
    OnePassEncoder(encoder, [0.3, 0.7])(red_and_green(), logits(*halves()))
    assert encoder.batches == [4]


def test_chunks_change_nothing(monkeypatch):
    image, masks = torch.rand(3, 16, 16) * 255, torch.randn(5, 4, 4)
    masks[3] = -1.0
    whole, valid = CropEncoder(ColourEncoder())(image, masks)
    monkeypatch.setattr(region_encoder, "CHUNK_SIZE", 2)
    parts, same = CropEncoder(ColourEncoder())(image, masks)
    torch.testing.assert_close(parts, whole)
    assert valid.tolist() == same.tolist() == [True, True, True, False, True]


def test_modes_by_name():
    assert type(build_region_encoder("crop", ColourEncoder(), [0.5])) is CropEncoder
    assert type(build_region_encoder("one_pass", ColourEncoder(), [0.5])) is OnePassEncoder
    encoder = ColourEncoder()
    encoder.vision = None
    with pytest.raises(
        UserError, match="REGION_MODE is one_pass, but .* takes only crops: use crop"
    ):
        build_region_encoder("one_pass", encoder, [0.5])
