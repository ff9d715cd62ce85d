"""Class scores against text embeddings, by hand."""

import pytest
import torch
from torch import nn

from zsk.errors import UserError
from zsk.proposals.class_scores import (
    LinearScores,
    TextAlignedScores,
    mlp,
    pool_regions,
    region_embedding,
)


def scores_of_two_numbers():
    """D=E=2, temperature 10, kernels as they are, no-object embedding (0, -2)."""
    scores = TextAlignedScores(nn.Identity(), 2, temperature=10.0)
    with torch.no_grad():
        scores.no_object.copy_(torch.tensor([[0.0, -2.0]]))
    return scores


def test_scores_are_cosines_times_the_temperature_with_no_object_last():
    kernels = torch.tensor([[[3.0, 4.0], [-5.0, 0.0]]])
    text = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, -0.8]])
    scores = scores_of_two_numbers()
    logits = scores(scores.embed(kernels), text)
    expected = torch.tensor([[[6.0, 8.0, -2.8, -8.0], [-10.0, 0.0, -6.0, 0.0]]])
    torch.testing.assert_close(logits, expected)


def test_scores_are_float32_under_autocast():
    scores = TextAlignedScores(mlp(8, [8, 8], 3), 3, 100.0)
    kernels, text = torch.randn(1, 4, 8), torch.eye(3)
    with torch.autocast("cpu", torch.bfloat16):
        logits = scores(scores.embed(kernels), text)
    expected = scores(scores.embed(kernels), text)
    torch.testing.assert_close(logits, expected, rtol=0, atol=0)


@pytest.mark.parametrize("width", [512, 1024])
def test_the_no_object_vector_starts_at_the_length_of_a_text_embedding(width):
    length = TextAlignedScores(nn.Identity(), width, 100.0).no_object.norm().item()
    assert length == pytest.approx(1, abs=0.15)


def test_a_kernel_of_zero_has_finite_scores():
    scores = scores_of_two_numbers()
    logits = scores(scores.embed(torch.zeros(1, 1, 2)), torch.eye(2))
    assert logits.tolist() == [[[0.0] * 3]]


def test_linear_scores_are_a_classifier_of_as_many_classes_as_the_vocabulary_has():
    classifier = nn.Linear(2, 3)
    with torch.no_grad():
        classifier.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, -1.0], [3.0, 0.0]]))
        classifier.bias.copy_(torch.tensor([0.5, 0.0, -1.0]))
    scores = LinearScores(classifier, 2)
    vectors = torch.tensor([[[1.0, 1.0], [0.0, 2.0]]])
    expected = torch.tensor([[[3.5, -1.0, 2.0], [4.5, -2.0, -1.0]]])
    torch.testing.assert_close(scores(vectors, torch.eye(2)), expected)
    # the texts themselves play no part
    torch.testing.assert_close(scores(vectors, torch.ones(2, 7)), expected)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(scores(vectors, torch.eye(2)), expected, rtol=0, atol=0)


@pytest.mark.parametrize("num_classes", [1, 3])
def test_a_linear_classifier_refuses_another_vocabulary(num_classes):
    words = f"NUM_CLASSES 2, but the vocabulary has {num_classes} classes"
    with pytest.raises(UserError, match=words):
        LinearScores(nn.Linear(2, 3), 2)(torch.ones(1, 1, 2), torch.ones(num_classes, 2))


def test_regions_are_the_mean_features_inside_each_mask():
    fine = torch.arange(8.0).reshape(1, 1, 2, 4)
    coarse = torch.tensor([[[[0.0, 4.0], [8.0, 12.0]]]])
    masks = torch.full((1, 3, 2, 4), -3.0)
    masks[0, 0, :, 0] = 3.0  # pixels 0 and 4
    masks[0, 1, 1, 1:] = 0.1  # pixels 5, 6 and 7: inside is over 0, however little
    features = {"a": fine, "b": coarse, "c": fine}
    pooled = pool_regions(features, ["b", "a"], masks)
    # b grows to rows 0 1 3 4 and 8 9 11 12 (bilinear, half a pixel at the borders)
    expected = torch.tensor([[[4.0, 2.0], [32 / 3, 6.0], [0.0, 0.0]]])
    torch.testing.assert_close(pooled, expected)


def test_masks_get_no_gradient_from_the_names():
    masks = torch.randn(1, 2, 4, 4, requires_grad=True)
    assert not pool_regions({"a": torch.randn(1, 3, 4, 4)}, ["a"], masks).requires_grad


def test_region_embedding_standardises_each_channel_and_is_linear():
    embedding = region_embedding(3, 5, dropout=0.5)
    vectors = torch.randn(64, 3) * torch.tensor([1.0, 10.0, 0.1]) + 4
    for _ in range(200):
        embedding(vectors)  # the running statistics settle
    embedding.eval()
    linear = embedding[-1]
    standard = (vectors - vectors.mean(dim=0)) / vectors.std(dim=0)
    torch.testing.assert_close(embedding(vectors), linear(standard), atol=1e-3, rtol=0)
