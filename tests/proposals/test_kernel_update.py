"""An update stage where it differs from K-Net's (see test_knet_parity.py), and its refusals."""

import pytest
import torch

from zsk.proposals.kernel_update import KernelGate, KernelUpdateStage


def test_the_gate_takes_sums_that_float16_cannot_hold():
    """The group is over 65504 as it is, and so is its product with the kernels."""
    gate = KernelGate(4)
    group, kernels = torch.full((1, 2, 4), 1e5), torch.full((1, 2, 4), 300.0)
    expected = gate(group, kernels)
    with torch.autocast("cpu", torch.float16):
        mixed = gate(group, kernels.half())
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, expected)


def tiny_stage(**settings):
    return KernelUpdateStage(dim=8, num_heads=2, dim_feedforward=16, **settings).eval()


@pytest.mark.parametrize("update", ["predict", "add"])
def test_masks_are_predicted_or_added_to_those_before(update):
    stage = tiny_stage(mask_update=update)
    with torch.no_grad():
        for parameter in stage.mask_kernels[-1].parameters():
            parameter.zero_()  # g_s gives kernels of zero
    before = torch.tensor([0.0, 1.0]).expand(1, 3, 1, 2)
    *_, masks = stage(torch.randn(1, 8, 1, 4), torch.randn(1, 3, 8), before)
    expected = [0.0, 0.25, 0.75, 1.0] if update == "add" else [0.0] * 4
    assert masks.tolist() == [[[expected]] * 3]


def test_rows_of_a_kernel_pass_the_same_gate():
    gate = KernelGate(8, groups=2)
    group, kernels = torch.randn(1, 3, 8), torch.randn(1, 3, 8)
    halves = [KernelGate(4), KernelGate(4)]
    for half in halves:
        half.load_state_dict(gate.state_dict())
    pairs = zip(halves, group.split(4, dim=-1), kernels.split(4, dim=-1))
    torch.testing.assert_close(gate(group, kernels), torch.cat([h(*x) for h, *x in pairs], dim=-1))
