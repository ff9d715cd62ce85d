"""Kernels as convolutions and the resizing of mask logits, by hand."""

import torch

from zsk.proposals.masks import convolve_kernels, resize_masks


def test_a_mask_is_the_product_of_kernel_and_feature_at_every_pixel():
    features = torch.tensor([[[[1.0, 2.0, 3.0]], [[10.0, 20.0, 30.0]]]])  # (1,2,1,3)
    kernels = torch.tensor([[[1.0, 0.0], [2.0, -0.1]]])
    expected = torch.tensor([[[[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]]]])
    torch.testing.assert_close(convolve_kernels(kernels, features), expected)


def test_every_image_meets_its_own_kernels():
    features = torch.ones(2, 1, 1, 1)
    kernels = torch.tensor([[[3.0]], [[5.0]]])
    assert convolve_kernels(kernels, features).flatten().tolist() == [3.0, 5.0]


def test_resizing_is_bilinear_with_corners_not_aligned():
    masks = torch.tensor([[[[0.0, 1.0]]]])
    assert resize_masks(masks, (1, 4)).tolist() == [[[[0.0, 0.25, 0.75, 1.0]]]]


def test_masks_of_the_right_size_are_not_copied():
    masks = torch.zeros(1, 1, 2, 3)
    assert resize_masks(masks, torch.Size((2, 3))) is masks
