"""The distance between generated and real features by hand, and the generator's layers."""

import math

import pytest
import torch

from zsk.baselines.generative.feature_generator import FeatureGenerator, mmd


def test_mmd_by_hand():
    """One real feature at 0, generated ones at distance 2 and 0 of it."""
    real, generated = torch.zeros(1, 2), torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    near = math.exp(-4 / (2 * 2)) + math.exp(-4 / (2 * 5))  # kernels of widths 2 and 5
    # 1 is the kernel of a point with itself, for each width
    expected = 2 + (2 + near) / 2 - 2 * (near + 2) / 2
    assert mmd(real, generated, (2, 5)).item() == pytest.approx(math.sqrt(expected), rel=1e-4)


def test_mmd_in_mixed_precision():
    """Features of length 10 that are 0.1 apart: a product in half precision has an error of 1."""
    real = torch.full((4, 100), 1.003)
    generated = real + 0.01
    expected = mmd(real, generated, (2, 5))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(mmd(real, generated, (2, 5)), expected)


def test_equal_sets_have_no_distance_and_a_finite_gradient():
    features = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    distance = mmd(features.detach(), features, (2, 5, 10, 20, 40, 80))
    distance.backward()
    assert distance < 1e-3 and features.grad.isfinite().all()


def test_the_layers_of_the_generator():
    generator = FeatureGenerator(2, 1, [4], 3, [0.5], squash=True).eval()
    for parameter in generator.parameters():
        torch.nn.init.constant_(parameter, 0.1)
    # hidden: 0.1 * (1 + 2 - 9) + 0.1 = -0.5, LeakyReLU -0.1; out: 4 * 0.1 * -0.1 + 0.1 = 0.06
    made = generator(torch.tensor([[1.0, 2.0]]), torch.tensor([[-9.0]]))
    torch.testing.assert_close(made, torch.full((1, 3), 0.06).sigmoid())
