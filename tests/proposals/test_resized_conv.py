"""The convolution of an enlarged map against resize and convolution, one after the other."""

import pytest
import torch
import torch.nn.functional as F

from zsk.proposals import resized_conv
from zsk.proposals.aspp_features import FineFusion
from zsk.proposals.masks import resize_masks
from zsk.proposals.resized_conv import arithmetic_share, conv_of_resized


def plainly(coarse, weight, size):
    return F.conv2d(resize_masks(coarse, size), weight, padding=1)


@pytest.fixture
def always(monkeypatch):
    """However little it saves, the short way is gone, and resizing whole maps is not possible."""
    monkeypatch.setattr(resized_conv, "WORTH", float("inf"))
    monkeypatch.setattr(resized_conv, "resize_masks", None)


SIZES = [
    ((3, 4), (12, 16)),
    ((3, 4), (11, 17)),  # no whole multiple
    ((1, 1), (4, 5)),  # every tap reads the one pixel there is
    ((2, 5), (2, 5)),  # nothing to enlarge
    ((4, 1), (1, 1)),  # smaller, and all other taps read padding
    ((7, 3), (3, 8)),
]


@pytest.mark.parametrize("old, new", SIZES)
@pytest.mark.parametrize("batch", [1, 2])
def test_is_the_convolution_of_the_resized_map(old, new, batch, always):
    torch.manual_seed(0)
    coarse = torch.randn(batch, 3, *old, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    found, wanted = conv_of_resized(coarse, weight, new), plainly(coarse, weight, new)
    torch.testing.assert_close(found, wanted)
    by_output = torch.randn_like(wanted)
    for mine, other in zip(
        torch.autograd.grad(found, (coarse, weight), by_output),
        torch.autograd.grad(wanted, (coarse, weight), by_output),
    ):
        torch.testing.assert_close(mine, other)


def test_reads_any_memory_layout(always):
    torch.manual_seed(0)
    coarse = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(2, 4, 3, 3)[:, 1:]  # a part of the channels, as the fusion has it
    found, wanted = conv_of_resized(coarse, weight, (8, 9)), plainly(coarse, weight, (8, 9))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_by_hand(always):
    """Two pixels 0 and 4 become 0 1 3 4; a kernel that sums three neighbours of one row."""
    weight = torch.zeros(1, 1, 3, 3)
    weight[0, 0, 1] = 1.0
    found = conv_of_resized(torch.tensor([[[[0.0, 4.0]]]]), weight, (1, 4))
    assert found.flatten().tolist() == [1.0, 4.0, 8.0, 7.0]


def test_share_counts_multiplications():
    """8 channels, 2x2 to 4x4: plain 9*8*16; ours 9*8*4 at the pixels, 3*2*4*6 and 4*4*6 after."""
    share = arithmetic_share(torch.zeros(1, 8, 2, 2), (4, 4))
    assert share == pytest.approx((288 + 144 + 96) / 1152)


def test_the_way_follows_from_the_arithmetic(monkeypatch):
    resized = []
    monkeypatch.setattr(
        resized_conv, "resize_masks", lambda *args: resized.append(1) or resize_masks(*args)
    )
    conv_of_resized(torch.zeros(1, 64, 2, 2), torch.zeros(2, 64, 3, 3), (8, 8))
    assert not resized
    conv_of_resized(torch.zeros(1, 64, 8, 8), torch.zeros(2, 64, 3, 3), (8, 8))
    assert resized


@pytest.mark.parametrize("norm", ["GN", ""])
@pytest.mark.parametrize("size", [(4, 4), (16, 15)])  # the plain way and the short one
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_fusion_is_a_convolution_of_both_maps_side_by_side(norm, size, layout):
    torch.manual_seed(0)
    fusion = FineFusion(6, 32, norm).double()
    coarse = torch.randn(2, 32, 4, 4, dtype=torch.float64, requires_grad=True)
    fine = torch.randn(2, 6, *size, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    found = fusion(coarse, fine)
    wanted = fusion.fuse(torch.cat([resize_masks(coarse, size), fusion.reduce(fine)], dim=1))
    torch.testing.assert_close(found, wanted)
    inputs = [coarse, fine, *fusion.parameters()]
    by_output = torch.randn_like(wanted)
    for mine, other in zip(
        torch.autograd.grad(found, inputs, by_output),
        torch.autograd.grad(wanted, inputs, by_output),
    ):
        torch.testing.assert_close(mine, other)
    learned = {"reduce.weight", "fuse.weight"}
    learned |= {"fuse.norm.weight", "fuse.norm.bias"} if norm else {"reduce.bias", "fuse.bias"}
    assert fusion.state_dict().keys() == learned  # as one convolution of both maps has them
    assert fusion.fuse.weight.shape == (32, 32 + 48, 3, 3)


@pytest.mark.parametrize("size", [(4, 4), (16, 15)])
def test_fusion_under_autocast(size):
    torch.manual_seed(0)
    fusion = FineFusion(6, 32, "GN").eval()
    coarse, fine = torch.randn(2, 32, 4, 4), torch.randn(2, 6, *size)
    with torch.autocast("cpu", torch.bfloat16):
        found = fusion(coarse.bfloat16(), fine)
    wanted = fusion(coarse, fine)
    torch.testing.assert_close(found.float(), wanted, rtol=0, atol=0.1)
    by_output = torch.randn_like(wanted)
    for mine, other in zip(
        torch.autograd.grad(found, list(fusion.parameters()), by_output.bfloat16()),
        torch.autograd.grad(wanted, list(fusion.parameters()), by_output),
    ):
        assert (mine - other).norm() < 0.15 * other.norm()  # ReLU turns where rounding does
