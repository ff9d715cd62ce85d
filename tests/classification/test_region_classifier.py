import pytest
import torch
from tiny_clip import ColourEncoder

from zsk.classification.region_classifier import (
    OnePassClassifier,
    RegionClassifier,
    build_region_classifier,
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


def test_one_pixel_is_enough():
    mask = torch.zeros(6, 7, dtype=torch.bool)
    mask[2, 3] = True
    scores = RegionClassifier(ColourEncoder())(torch.rand(3, 6, 7), logits(mask), TEXT)
    assert scores.valid.tolist() == [True]


def test_the_threshold_is_one_of_the_sigmoid():
    image, weak = red_and_green(), torch.full((1, 8, 8), 1.0)  # sigmoid(1) = 0.73
    for threshold, valid in ((0.7, True), (0.75, False)):
        scores = RegionClassifier(ColourEncoder(), mask_thresholds=[threshold])(image, weak, TEXT)
        assert scores.valid.tolist() == [valid]


@pytest.mark.parametrize("kind", [RegionClassifier, OnePassClassifier])
def test_looks_at_two_thresholds_are_merged_where_both_show_something(kind):
    """Cut at 0.3 the mask is the whole photo, half red and half green; cut at 0.7 it is red."""
    _, left, right = halves()
    both = torch.where(left, 9.0, 0.0)[None]  # sigmoids 1 and 0.5
    weak = torch.where(right, 0.0, -9.0)[None]  # nothing is over 0.7
    encoder, masks = ColourEncoder(), torch.cat([both, weak, torch.full((1, 8, 8), -9.0)])
    classifier = kind(encoder, mask_thresholds=[0.3, 0.7])
    probs, valid = classifier(red_and_green(), masks, TEXT)
    assert encoder.batches == [3] and valid.tolist() == [True, True, False]
    low, high = (
        kind(ColourEncoder(), mask_thresholds=[t])(red_and_green(), masks, TEXT).probs
        for t in (0.3, 0.7)
    )
    mean = (low[0] * high[0]).sqrt()
    torch.testing.assert_close(probs[0], mean / mean.sum())
    assert not torch.allclose(probs[0], low[0]) and not torch.allclose(probs[0], high[0])
    torch.testing.assert_close(probs[1], low[1])
    assert probs[2].tolist() == [0.0] * 3


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
    for threshold in (1.0, 0, "a"):
        with pytest.raises(UserError, match=f"FURTHER_THRESHOLDS.*one is {threshold!r}"):
            RegionClassifier(ColourEncoder(), mask_thresholds=[0.5, threshold])
    with pytest.raises(UserError, match="CHUNK_SIZE is -1"):
        RegionClassifier(ColourEncoder(), chunk_size=-1)


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
    assert type(build_region_classifier("crop", ColourEncoder(), [0.5], 32)) is RegionClassifier
    assert (
        type(build_region_classifier("one_pass", ColourEncoder(), [0.5], 32)) is OnePassClassifier
    )
    with pytest.raises(UserError, match="REGION_MODE is 'dense': choose one of crop, one_pass"):
        build_region_classifier("dense", ColourEncoder(), [0.5], 32)


def test_an_encoder_that_only_takes_crops_is_refused_before_any_image():
    encoder = ColourEncoder()
    encoder.takes_regions = False
    with pytest.raises(UserError, match="REGION_MODE is one_pass, but this encoder takes only"):
        build_region_classifier("one_pass", encoder, [0.5], 32)
