"""What reads the feature map, by hand; and the gradient that its readers sum on the way back."""

import math

import pytest
import torch

from zsk.proposals.feature_readers import convolve_and_hand_on, gather_group_features
from zsk.proposals.kernel_update import KernelUpdateStage
from zsk.proposals.masks import resize_masks

LN3 = math.log(3.0)  # sigmoid(ln 3) = 0.75

# F (1,2,2,2); mask 0 is 0.75 in the upper row and 0.25 in the lower one, mask 1 is 0.5 everywhere
FEATURES = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[10.0, 20.0], [30.0, 40.0]]]])
LOGITS = torch.tensor([[[[LN3, LN3], [-LN3, -LN3]], [[0.0, 0.0], [0.0, 0.0]]]])


@pytest.mark.parametrize(
    "activation, reduction, expected",
    [
        ("sigmoid", "sum", [4.0, 5.0]),  # 0.75 (1+2) + 0.25 (3+4), 0.5 (1+2+3+4)
        ("sigmoid", "mean", [2.0, 2.5]),  # both masks have area 2
        ("softmax", "sum", [4.0, 6.0]),  # the second mask is one minus the first
        ("softmax", "mean", [2.0, 3.0]),
    ],
)
def test_group_features(activation, reduction, expected):
    group = gather_group_features(FEATURES, LOGITS, activation, reduction)[0]
    wanted = torch.tensor([[[g, 10 * g] for g in expected]])
    torch.testing.assert_close(group, wanted)


def test_the_mean_under_an_empty_mask_is_finite():
    logits = torch.full((1, 1, 2, 2), -200.0)  # sigmoid is 0 in float32
    assert gather_group_features(FEATURES, logits, "sigmoid", "mean")[0].tolist() == [[[0.0, 0.0]]]


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_gradients_of_group_features_are_those_of_the_elementary_operations(activation, reduction):
    torch.manual_seed(0)
    features = torch.randn(2, 3, 4, 5, requires_grad=True)
    logits = torch.randn(2, 6, 4, 5, requires_grad=True)
    masks = logits.sigmoid() if activation == "sigmoid" else logits.softmax(dim=1)
    expected = torch.einsum("bnhw,bdhw->bnd", masks, features)
    if reduction == "mean":
        expected = expected / masks.sum(dim=(2, 3))[:, :, None]
    found = gather_group_features(features, logits, activation, reduction)[0]
    torch.testing.assert_close(found, expected)
    weights = torch.randn(2, 6, 3)
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), (features, logits)),
        torch.autograd.grad((expected * weights).sum(), (features, logits)),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_group_features_keep_only_what_they_were_made_of(dtype):
    features = torch.randn(1, 2, 3, 3, dtype=dtype, requires_grad=True)
    logits = torch.randn(1, 4, 3, 3, dtype=dtype, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: (kept.append(x), x)[1], lambda x: x):
        group = gather_group_features(features, logits, "sigmoid", "mean")[0]
    group.sum().backward()
    assert [x.data_ptr() for x in kept] == [features.data_ptr(), logits.data_ptr()]
    assert features.grad.dtype == logits.grad.dtype == dtype


def test_group_features_where_only_the_masks_learn():
    logits = LOGITS.clone().requires_grad_()
    gather_group_features(FEATURES, logits, "sigmoid", "sum")[0][..., 0].sum().backward()
    slopes = torch.tensor([[[[3 / 16] * 2] * 2, [[1 / 4] * 2] * 2]])  # of sigmoid
    torch.testing.assert_close(logits.grad, slopes * FEATURES[:, :1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_group_features_are_summed_in_float32_under_autocast(dtype):
    features = torch.full((1, 1, 64, 64), 40.0, dtype=dtype)
    logits = torch.zeros(1, 1, 64, 64, dtype=dtype)
    with torch.autocast("cpu", dtype):
        group = gather_group_features(features, logits, "sigmoid", "sum")[0]
    assert group.dtype == torch.float32
    assert group.item() == 81920.0  # 64 * 64 * 40 / 2, over float16's 65504


def tiny_stage(**settings):
    stage = KernelUpdateStage(dim=4, num_heads=2, dim_feedforward=8, **settings).double()
    with torch.no_grad():
        for parameter in stage.mask_kernels[-1].parameters():
            parameter.normal_()  # with mask_update "add" it starts at zero
    return stage


def plain_stage(stage, features, kernels, masks):
    """The stage's own boxes, between products that autograd differentiates."""
    own = features if stage.transform is None else stage.transform(features)
    masks = resize_masks(masks, own.shape[-2:])
    group = torch.einsum("bnhw,bdhw->bnd", masks.sigmoid(), own)
    kernels = stage.interaction(stage.gate(group, kernels))
    predicted = torch.einsum("bnd,bdhw->bnhw", stage.mask_kernels(kernels), own)
    return features, kernels, predicted + masks if stage.mask_update == "add" else predicted


@pytest.mark.parametrize(
    "settings", [{}, {"feature_transform": True}, {"mask_update": "add"}], ids=str
)
@pytest.mark.parametrize("size", [(3, 5), (2, 2)])  # as F is, and resized
def test_stages_give_the_gradients_of_plain_products(settings, size, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)  # all in float64
    torch.manual_seed(0)
    stages = [tiny_stage(**settings) for _ in range(3)]
    features = torch.randn(2, 4, 3, 5).double().requires_grad_()
    kernels = torch.randn(2, 3, 4).double().requires_grad_()
    masks = torch.randn(2, 3, *size).double().requires_grad_()
    inputs = [features, kernels, masks, *(p for stage in stages for p in stage.parameters())]
    weights = torch.randn(3, 2, 3, 3, 5).double(), torch.randn(3, 2, 3, 4).double()
    results = []
    for run in (KernelUpdateStage.__call__, plain_stage):
        state, loss = (features * 1, kernels, masks), 0.0
        for stage, by_masks, by_kernels in zip(stages, *weights):
            state = run(stage, *state)
            loss = loss + (state[2] * by_masks).sum() + (state[1] * by_kernels).sum()
        results.append((loss, torch.autograd.grad(loss, inputs)))
    (found, mine), (wanted, other) = results
    torch.testing.assert_close(found, wanted)
    for one, two in zip(mine, other, strict=True):
        torch.testing.assert_close(one, two)


def test_readers_add_to_one_gradient():
    """The last reader makes a map of it, and those before it add to that."""
    seen = []

    def note(features):
        features.register_hook(lambda grad: seen.append((grad.sum().item(), grad.data_ptr())))
        return features

    first = note(torch.ones(1, 2, 2, 2, requires_grad=True) * 1)
    group, second = gather_group_features(first, torch.zeros(1, 1, 2, 2), "sigmoid", "sum")
    masks, third = convolve_and_hand_on(torch.ones(1, 3, 2), note(second))
    more, _ = convolve_and_hand_on(torch.ones(1, 1, 2), note(third))
    (group.sum() + masks.sum() + more.sum()).backward()
    sums, places = zip(*seen)
    # eight numbers: 1 of each mask, 0.5 gathered
    assert sums == (8, 8 + 3 * 8, 8 + 3 * 8 + 0.5 * 8)
    assert len(set(places)) == 1


def test_what_nobody_used_gets_no_gradient():
    features = torch.ones(1, 2, 2, 2, requires_grad=True)
    kernels = torch.ones(1, 3, 2, requires_grad=True)
    _, second = gather_group_features(features, torch.zeros(1, 1, 2, 2), "sigmoid", "sum")
    _, third = convolve_and_hand_on(kernels, second)
    third.sum().backward()
    assert features.grad.tolist() == torch.ones(1, 2, 2, 2).tolist()
    assert kernels.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_readers_in_half_precision_under_autocast(dtype):
    """The gradient has the features' type, as autograd wants it, and single precision's values."""
    torch.manual_seed(0)
    values, kernels = torch.randn(2, 4, 3, 5), torch.randn(2, 3, 4)
    found = []
    for enabled in (True, False):
        features = values.to(dtype if enabled else torch.float32).requires_grad_()
        with torch.autocast("cpu", dtype, enabled=enabled):
            masks, second = convolve_and_hand_on(kernels, features * 1)
            group, third = gather_group_features(second, masks, "sigmoid", "mean")
            more, _ = convolve_and_hand_on(group, third)
        (
            masks.float().square().sum() + group.square().sum() + more.float().square().sum()
        ).backward()
        assert features.grad.dtype == features.dtype
        found.append(features.grad.float())
    half, single = found
    assert (half - single).norm() < 0.02 * single.norm()
