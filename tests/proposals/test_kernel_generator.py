"""Kernel generator: K_0 as a convolution, and clusters."""

from operator import itemgetter

import pytest
import torch
import torch.nn.functional as F

from zsk.proposals.image_clusters import ClusterKernels
from zsk.proposals.kernel_generator import KernelGenerator, StaticKernels


@pytest.mark.parametrize("bias", [False, True])
def test_static_kernels_are_the_weights_of_a_last_convolution(bias):
    static, features = StaticKernels(3, 4, bias), torch.randn(2, 4, 5, 6)
    if bias:
        static.bias.data = torch.tensor([1.0, -2.0, 0.5])
    kernels, masks = static(features, [])
    assert torch.equal(kernels[0], kernels[1])
    expected = F.conv2d(features, static.init_kernels[:, :, None, None], static.bias)
    torch.testing.assert_close(masks, expected, rtol=0, atol=1e-6)


def test_clusters_are_those_of_the_features_named():
    """F, of which all cells are alike, comes from res2."""
    generator = KernelGenerator(itemgetter("res2"), ClusterKernels((2,), 6), ["res5"])
    features = {"res2": torch.ones(1, 6, 12, 16), "res5": torch.zeros(1, 10, 3, 4)}
    features["res5"][:, 0, :, :2], features["res5"][:, 1, :, 2:] = 1.0, 1.0
    _, _, masks = generator(features)
    assert masks.shape == (1, 2, 12, 16)  # resized to F
    left, right = masks[0, :, 0, 0], masks[0, :, 0, -1]
    assert sorted(left.tolist()) == [-2.0, 2.0] and torch.equal(left, -right)
