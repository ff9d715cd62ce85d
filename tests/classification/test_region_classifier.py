import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clip import ColourEncoder
from torch.nn import functional as F

from zsk.classification.region_classifier import (
    OnePassClassifier,
    RegionClassifier,
    binary_masks,
    build_region_classifier,
    masked_crops,
    tight_boxes,
)
from zsk.errors import UserError

TEXT = torch.eye(3)  # red, green, blue


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


def test_no_proposal():
    scores = RegionClassifier(ColourEncoder())(red_and_green(), torch.zeros(0, 8, 8), TEXT)
    assert scores.probs.shape == (0, 3) and scores.valid.shape == (0,)


def test_empty_masks_are_never_encoded_and_score_nothing():
    encoder = ColourEncoder()
    empty = torch.stack([torch.full((8, 8), -10.0), torch.full((8, 8), float("nan"))])
    probs, valid = RegionClassifier(encoder)(red_and_green(), empty, TEXT)
    assert valid.tolist() == [False, False]
    assert probs.tolist() == [[0.0] * 3] * 2
    assert encoder.batches == []


def test_probabilities_by_hand():
    nothing, left, right = halves()
    encoder = ColourEncoder()
    probs, valid = RegionClassifier(encoder)(red_and_green(), logits(nothing, left, right), TEXT)
    assert valid.tolist() == [False, True, True]
    assert encoder.batches == [2]
    # cosines 1, 0, 0 times the encoder's τ = 2
    e = torch.tensor(2.0).exp()
    expected = torch.tensor([[0, 0, 0], [e, 1, 1], [1, e, 1]]) / (e + 2)
    torch.testing.assert_close(probs, expected)
    assert probs.dtype == torch.float32


def test_the_encoder_gets_normalised_pixels():
    class Keeping(ColourEncoder):
        def _image_features(self, crops):
            self.crops = crops
            return super()._image_features(crops)

    encoder = Keeping(pixel_mean=50.0)
    encoder.pixel_std = (1.0, 2.0, 4.0)
    image = torch.full((3, 8, 8), 58, dtype=torch.uint8)
    RegionClassifier(encoder)(image, logits(halves()[1]), TEXT)
    assert encoder.crops[0, :, 0, 0].tolist() == [8.0, 4.0, 2.0]


def test_no_gradient_whatever_comes_in():
    text, masks = TEXT.clone().requires_grad_(), logits(halves()[1]).requires_grad_()
    scores = RegionClassifier(ColourEncoder())(red_and_green(), masks, text)
    assert not scores.probs.requires_grad


def test_pixels_outside_the_mask_are_the_pixel_mean():
    _, left, _ = halves()
    corners = torch.zeros_like(left)
    corners[0, 0] = corners[7, 7] = True  # the tight box is the whole image
    encoder = ColourEncoder(input_size=8, pixel_mean=50.0)
    pixels = red_and_green() - 50.0
    crop = masked_crops(pixels, corners[None], encoder.input_size)[0]
    expected = torch.zeros(3, 8, 8)
    expected[:, 0, 0] = torch.tensor([150.0, -50.0, -50.0])
    expected[:, 7, 7] = torch.tensor([-50.0, 150.0, -50.0])
    torch.testing.assert_close(crop, expected)


def test_one_pixel_fills_the_crop():
    image = torch.rand(3, 6, 7)
    mask = torch.zeros(1, 6, 7, dtype=torch.bool)
    mask[0, 2, 3] = True
    assert tight_boxes(mask).tolist() == [[3.0, 2.0, 4.0, 3.0]]
    crop = masked_crops(image, mask, 1)
    torch.testing.assert_close(crop[0, :, 0, 0], image[:, 2, 3])
    scores = RegionClassifier(ColourEncoder())(image, logits(mask[0]), TEXT)
    assert scores.valid.tolist() == [True]


def test_a_full_mask_gives_the_whole_image():
    image = torch.rand(3, 8, 12)
    mask = torch.ones(1, 8, 12, dtype=torch.bool)
    assert tight_boxes(mask).tolist() == [[0.0, 0.0, 12.0, 8.0]]
    # 2 × 3 pixels fall into each pixel of the crop, whose value is their mean
    expected = F.avg_pool2d(image, (2, 3))
    torch.testing.assert_close(masked_crops(image, mask, 4)[0], expected)


def test_a_crop_is_the_one_an_image_library_makes():
    values = torch.randint(0, 256, (20, 30), dtype=torch.uint8)
    mask = torch.zeros(1, 20, 30, dtype=torch.bool)
    mask[0, 4:16, 5:29] = True  # 12 rows, 24 columns, to 6 × 6: whole pixels fall together
    crop = masked_crops(values.expand(3, 20, 30).float(), mask, 6)[0, 0]
    box = Image.fromarray(values.numpy()).convert("F").resize((6, 6), Image.BOX, (5, 4, 29, 16))
    torch.testing.assert_close(crop, torch.from_numpy(np.array(box)), atol=1e-3, rtol=0)


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


def test_the_threshold_is_one_of_the_sigmoid():
    image, weak = red_and_green(), torch.full((1, 8, 8), 1.0)  # sigmoid(1) = 0.73
    for threshold, valid in ((0.7, True), (0.75, False)):
        scores = RegionClassifier(ColourEncoder(), mask_threshold=threshold)(image, weak, TEXT)
        assert scores.valid.tolist() == [valid]


def test_one_class_has_probability_one():
    _, left, _ = halves()
    scores = RegionClassifier(ColourEncoder())(red_and_green(), logits(left), TEXT[:1])
    assert scores.probs.tolist() == [[1.0]]


@pytest.mark.parametrize("chunk_size", [1, 2, 5])
def test_chunks_change_nothing(chunk_size):
    image, masks = torch.rand(3, 16, 16) * 255, torch.randn(5, 4, 4)
    masks[3] = -1.0
    whole = RegionClassifier(ColourEncoder(), chunk_size=32)(image, masks, TEXT)
    parts = RegionClassifier(ColourEncoder(), chunk_size=chunk_size)(image, masks, TEXT)
    torch.testing.assert_close(parts.probs, whole.probs)
    assert parts.valid.tolist() == whole.valid.tolist() == [True, True, True, False, True]


def test_numbers_out_of_range():
    with pytest.raises(UserError, match="threshold.*1.0"):
        RegionClassifier(ColourEncoder(), mask_threshold=1.0)
    with pytest.raises(UserError, match="chunk size.*0"):
        RegionClassifier(ColourEncoder(), chunk_size=0)


def test_nothing_is_saved_and_all_follows_the_device():
    classifier = RegionClassifier(ColourEncoder())
    assert not classifier.state_dict() and not list(classifier.parameters())
    classifier.to("meta")
    assert classifier.encoder.device.type == classifier.pixel_mean.device.type == "meta"


def test_one_pass_names_as_crops_do_where_both_see_the_same():
    nothing, left, right = halves()
    encoder = ColourEncoder()
    arguments = (red_and_green(), logits(nothing, left, right), TEXT)
    one_pass, crops = OnePassClassifier(encoder)(*arguments), RegionClassifier(encoder)(*arguments)
    assert encoder.batches == [2, 2]  # never the empty mask
    torch.testing.assert_close(one_pass.probs, crops.probs)
    assert one_pass.valid.tolist() == [False, True, True]


def test_one_pass_with_nothing_to_name():
    scores = OnePassClassifier(ColourEncoder())(red_and_green(), torch.zeros(0, 8, 8), TEXT)
    assert scores.probs.shape == (0, 3)
    scores = OnePassClassifier(ColourEncoder())(red_and_green(), torch.zeros(2, 8, 8), TEXT)
    assert scores.probs.tolist() == [[0.0] * 3] * 2


def test_modes_by_name():
    assert type(build_region_classifier("crop", ColourEncoder(), 0.5, 32)) is RegionClassifier
    assert type(build_region_classifier("one_pass", ColourEncoder(), 0.5, 32)) is OnePassClassifier
    with pytest.raises(UserError, match="REGION_MODE is 'dense': choose one of crop, one_pass"):
        build_region_classifier("dense", ColourEncoder(), 0.5, 32)


def test_an_encoder_that_only_takes_crops_is_refused_before_any_image():
    encoder = ColourEncoder()
    encoder.takes_regions = False
    with pytest.raises(UserError, match="REGION_MODE is one_pass, but this encoder takes only"):
        build_region_classifier("one_pass", encoder, 0.5, 32)
