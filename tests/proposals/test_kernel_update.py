"""The boxes of an update stage, by hand (K-Net's numbers are in test_knet_parity.py)."""

import math

import pytest
import torch
from torch import nn

from zsk.errors import UserError
from zsk.proposals.kernel_update import (
    KernelGate,
    KernelInteraction,
    KernelUpdateStage,
)

LN3 = math.log(3.0)  # sigmoid(ln 3) = 0.75


def identity_gate():
    """D=2; the four projections are identities, and the final norm is left out."""
    gate = KernelGate(2)
    eye = torch.eye(2)
    with torch.no_grad():
        for layer in (gate.group_fc, gate.kernel_fc):
            layer.weight.copy_(torch.cat([eye, eye]))
            layer.bias.zero_()
        for layer in (gate.group_gate, gate.kernel_gate, gate.out_fc):
            layer.weight.copy_(eye)
            layer.bias.zero_()
    gate.out_norm = nn.Identity()
    return gate


def test_the_gate_mixes_group_and_kernel():
    gate = identity_gate()
    with torch.no_grad():
        gate.group_gate_norm.weight.fill_(LN3)
        gate.kernel_gate_norm.weight.zero_()
        gate.kernel_gate_norm.bias.fill_(-LN3)
        gate.out_fc.bias.fill_(1.0)
    # a LayerNorm of two numbers is -1 for the smaller and 1 for the larger (up to its epsilon):
    # joint (0, 4) -> group gate sigmoid(-ln 3, ln 3) = (0.25, 0.75); kernel gate 0.25
    # (0.25, 0.75) * (1, -1) + 0.25 * (-1, 1) + 1
    updated = gate(torch.tensor([[[3.0, 1.0]]]), torch.tensor([[[0.0, 4.0]]]))
    torch.testing.assert_close(updated, torch.tensor([[[1.0, 0.5]]]), rtol=0, atol=1e-4)


def test_the_gate_ends_in_a_relu_and_keeps_the_shape():
    torch.manual_seed(0)
    updated = KernelGate(8)(torch.randn(2, 5, 8), torch.randn(2, 5, 8))
    assert updated.shape == (2, 5, 8)
    assert updated.min() == 0 and updated.max() > 0


def test_the_gate_takes_sums_that_float16_cannot_hold():
    """The group is over 65504 as it is, and so is its product with the kernels."""
    gate = KernelGate(4)
    group, kernels = torch.full((1, 2, 4), 1e5), torch.full((1, 2, 4), 300.0)
    expected = gate(group, kernels)
    with torch.autocast("cpu", torch.float16):
        mixed = gate(group, kernels.half())
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, expected)


def test_interaction_adds_to_the_kernels_and_normalises():
    interaction = KernelInteraction(2, num_heads=1, dim_feedforward=4, dropout=0.0)
    with torch.no_grad():
        for parameter in (*interaction.attention.parameters(), *interaction.ffn.parameters()):
            parameter.zero_()
        interaction.attention_norm.weight.copy_(torch.tensor([3.0, 1.0]))
    # (5, 1) -> (1, -1) * (3, 1) -> (1, -1)
    kernels = interaction(torch.tensor([[[5.0, 1.0]]]))
    torch.testing.assert_close(kernels, torch.tensor([[[1.0, -1.0]]]), rtol=0, atol=1e-4)


def test_kernels_of_one_image_interact_and_those_of_two_do_not():
    torch.manual_seed(0)
    interaction = KernelInteraction(8, num_heads=2, dim_feedforward=16, dropout=0.0).eval()
    kernels = torch.randn(2, 3, 8)
    changed = kernels.clone()
    changed[0, 0] += 1.0
    before, after = interaction(kernels), interaction(changed)
    assert (after[0, 1] - before[0, 1]).abs().max() > 1e-3
    torch.testing.assert_close(after[1], before[1])


def tiny_stage(**settings):
    torch.manual_seed(0)
    return KernelUpdateStage(dim=8, num_heads=2, dim_feedforward=16, **settings).eval()


def test_the_order_of_the_kernels_has_no_meaning():
    stage = tiny_stage()
    features, kernels, masks = (
        torch.randn(1, 8, 3, 4),
        torch.randn(1, 3, 8),
        torch.randn(1, 3, 3, 4),
    )
    order = [2, 0, 1]
    new_kernels, new_masks = stage(features, kernels, masks)
    shuffled_kernels, shuffled_masks = stage(features, kernels[:, order], masks[:, order])
    torch.testing.assert_close(shuffled_kernels, new_kernels[:, order], rtol=0, atol=1e-5)
    torch.testing.assert_close(shuffled_masks, new_masks[:, order], rtol=0, atol=1e-5)


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


def test_an_unknown_mask_update_names_the_key():
    with pytest.raises(UserError, match="MODEL.KERNELS.MASK_UPDATE is 'guess'"):
        tiny_stage(mask_update="guess")


@pytest.mark.parametrize("settings", [{"gather_activation": "relu"}, {"gather_reduction": "max"}])
def test_unknown_ways_of_gathering_are_refused(settings):
    with pytest.raises(ValueError, match="unknown gathering"):
        tiny_stage(**settings)
