"""The contextual module: its divergence by hand, its draws, and how far it looks."""

import math

import pytest
import torch
from torch import nn

from zsk.baselines.generative.context_module import Context, ContextModule, DilatedContext


@pytest.mark.parametrize(
    "mean, variance, expected",
    [(0.0, 1.0, 0.0), (2.0, 1.0, 2.0), (0.0, 4.0, (4 - 1 - math.log(4)) / 2)],
)
def test_divergence_by_hand(mean, variance, expected):
    one = torch.full((1, 2, 1, 1), 1.0)
    context = Context(mean * one, math.log(variance) * one, one)
    torch.testing.assert_close(context.divergence(), expected * one)


def constant(convolution, value):
    nn.init.zeros_(convolution.weight)
    nn.init.constant_(convolution.bias, value)


def test_latents_are_drawn_in_training_and_the_mean_in_evaluation():
    module = ContextModule(2, 3)
    constant(module.mean, 3.0)
    constant(module.log_variance, math.log(4))
    latent = module(torch.rand(1, 2, 100, 100)).latent  # 20,000 draws
    assert latent.mean().item() == pytest.approx(3, abs=0.05)
    assert latent.std().item() == pytest.approx(2, abs=0.05)
    assert (module.eval()(torch.rand(1, 2, 3, 4)).latent == 3).all()
    constant(module.log_variance, -5.0)
    assert not module(torch.rand(1, 2, 3, 4)).log_variance.any()  # the variance is 1 or more


def test_three_convolutions_in_a_row_weighed_and_merged():
    """On one row, weights of 1: dilations 1, 2 and 5 look 1, 3 and 8 cells away."""
    module = DilatedContext(1, 1, 1)
    for convolution in module.convolutions:
        nn.init.ones_(convolution.weight)
    constant(module.scale_weights, 0.0)  # sigmoids of 1/2
    constant(module.merge, 0.0)
    impulse = torch.zeros(1, 1, 1, 21)
    impulse[..., 10] = 1
    for scale, reach in enumerate((1, 3, 8)):
        nn.init.zeros_(module.merge.weight)
        module.merge.weight.data[0, scale] = 2
        seen = module(impulse).flatten().nonzero()[:, 0]
        assert [seen[0], seen[-1]] == [10 - reach, 10 + reach]
    # the last one: all of 2 * 1/2 * (3 * 3 * 3 taps), since none falls on another's place but 3
    assert module(impulse).sum().item() == pytest.approx(27)
