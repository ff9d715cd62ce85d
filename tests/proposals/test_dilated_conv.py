"""The dilated convolution against the library's, forward and backward."""

import pytest
import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from torch import nn

from zsk.proposals.aspp_features import AsppFeatures
from zsk.proposals.dilated_conv import DilatedConv2d, dilated_conv


@pytest.mark.parametrize("size", [(5, 6), (3, 9), (2, 2), (1, 1)])
@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_is_the_librarys(size, dilation, layout):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(4, dtype=torch.float64, requires_grad=True)
    found = dilated_conv(x, weight, bias, dilation)
    wanted = F.conv2d(x, weight, bias, padding=dilation, dilation=dilation)
    torch.testing.assert_close(found, wanted)
    by_output = torch.randn_like(wanted)
    for mine, other in zip(
        torch.autograd.grad(found, (x, weight, bias), by_output),
        torch.autograd.grad(wanted, (x, weight, bias), by_output),
    ):
        torch.testing.assert_close(mine, other)


def test_weights_gradient_by_hand():
    """One row 1 2 3 of dilation 2: the left tap of the last pixel reads the first, and so on."""
    x = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    weight = torch.ones(1, 1, 3, 3, requires_grad=True)
    (dilated_conv(x, weight, None, 2) * torch.tensor([10.0, 20.0, 30.0])).sum().backward()
    wanted = [[0, 0, 0], [1 * 30, 1 * 10 + 2 * 20 + 3 * 30, 3 * 10], [0, 0, 0]]
    assert weight.grad.tolist() == [[wanted]]


def aspp_features() -> AsppFeatures:
    torch.manual_seed(0)
    return AsppFeatures(
        {"res5": ShapeSpec(channels=8, stride=8)},
        in_feature="res5",
        fine_feature="",
        aspp_dilations=[2, 3, 4],
        aspp_channels=32,
        dim=32,
        norm="GN",
    )


def test_all_dilated_convolutions_of_the_pyramid_and_no_others():
    module = aspp_features()
    dilated = [m for m in module.modules() if isinstance(m, DilatedConv2d)]
    assert [conv.dilation[0] for conv in dilated] == [2, 3, 4]
    assert all(m.dilation == (1, 1) or m in dilated for m in module.modules() if _is_conv(m))


def _is_conv(module):
    return isinstance(module, nn.Conv2d)


def test_under_autocast_the_librarys_is_used():
    module = aspp_features()
    feature = torch.randn(1, 8, 6, 6, requires_grad=True)
    plain = module({"res5": feature})
    with torch.autocast("cpu", torch.bfloat16):
        found = module({"res5": feature})
    torch.testing.assert_close(found.float(), plain, rtol=0, atol=0.1)
    found.float().sum().backward()
    assert feature.grad.isfinite().all()
