"""Pure functions on masks. Shape letters as in zsk/proposals/masks.py."""

import pytest
import torch
from torch.nn import functional as F

from zsk.proposals.masks import region_means


@pytest.mark.parametrize("size", [(4, 6), (9, 7), (2, 3)])
def test_means_under_masks_are_those_of_resized_features(size):
    features, masks = torch.randn(2, 5, 4, 6), torch.rand(2, 3, *size)
    masks[0, 1] = 0
    resized = F.interpolate(features, size, mode="bilinear", align_corners=False)
    expected = torch.einsum("bnhw,bdhw->bnd", masks, resized) / masks.sum(dim=(2, 3))[..., None]
    found = region_means(features, masks)
    assert not found[0, 1].any()
    torch.testing.assert_close(found[1], expected[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(found[0, [0, 2]], expected[0, [0, 2]], rtol=0, atol=1e-5)
