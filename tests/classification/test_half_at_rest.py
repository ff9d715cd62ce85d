"""Weights at rest in half precision compute as if they had never been halved."""

import copy

import pytest
import torch
from torch import nn

from zsk.classification.half_at_rest import rest, wake


@pytest.fixture
def network():
    """An attention and a linear layer of halves, and a linear layer of other numbers."""
    torch.manual_seed(0)
    network = nn.ModuleDict(
        {"attn": nn.MultiheadAttention(8, 2), "halves": nn.Linear(8, 8), "other": nn.Linear(8, 8)}
    )
    for name in ("attn", "halves"):
        network[name].half().float()
    return network.eval().requires_grad_(False)


def run(network, tokens):
    attended, _ = network["attn"](tokens, tokens, tokens, need_weights=False)
    return network["other"](network["halves"](attended))


def test_the_results_are_the_same_and_less_is_held(network):
    tokens = torch.randn(5, 1, 8)
    expected, keys = run(network, tokens), list(network.state_dict())
    rest(network)
    assert torch.equal(run(network, tokens), expected)
    state = network.state_dict()
    assert list(state) == keys
    assert [key for key in keys if state[key].dtype == torch.float16] == [
        "attn.in_proj_weight",
        "attn.out_proj.weight",
        "halves.weight",
    ]
    assert network["attn"].in_proj_weight.dtype == torch.float32  # to whoever computes with it


def test_what_would_be_rounded_stays_as_it_is(network):
    before = network["other"].weight.clone()
    rest(network)
    assert type(network["other"]) is nn.Linear
    assert torch.equal(network["other"].weight, before)


def test_waking_undoes_it_and_what_is_awake_stays_so(network):
    whole = copy.deepcopy(network)
    rest(network)
    rest(network)
    wake(network)
    wake(network)
    assert [type(m) for m in network.modules()] == [type(m) for m in whole.modules()]
    for (name, found), expected in zip(network.named_parameters(), whole.parameters()):
        assert found.dtype == torch.float32 and not found.requires_grad, name
        assert torch.equal(found, expected), name


def test_a_copy_can_be_trained_after_waking(network):
    rest(network)
    trained = copy.deepcopy(network)
    wake(trained)
    trained.requires_grad_(True)
    run(trained, torch.randn(5, 1, 8)).sum().backward()
    assert trained["halves"].weight.grad is not None
    assert network["halves"].weight.grad is None
