"""Parameter groups and full-model clipping of a model of a few numbers."""

import copy

import pytest
import torch
from torch import nn

from zsk.config import default_config
from zsk.engine.solver import build_optimizer, restore_moments
from zsk.errors import UserError


def layers():
    backbone = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.Conv2d(1, 1, 1))
    backbone[2].requires_grad_(False)
    head = nn.ModuleDict({"fc": nn.Linear(2, 2), "norm": nn.LayerNorm(2)})
    for name in ("init_kernels", "no_object", "query_embed"):
        head.register_parameter(name, nn.Parameter(torch.zeros(3, 2)))
    return nn.ModuleDict({"backbone": backbone, "sem_seg_head": head})


def pair():
    """One number in the backbone and one in the head, both 0."""
    parts = {name: nn.Linear(1, 1, bias=False) for name in ("backbone", "sem_seg_head")}
    for layer in parts.values():
        nn.init.zeros_(layer.weight)
    return nn.ModuleDict(parts)


def config(*opts):
    cfg = default_config()
    cfg.SOLVER.BASE_LR = 0.5
    cfg.SOLVER.WEIGHT_DECAY = 0.25
    cfg.merge_from_list(list(opts))
    return cfg


def rates_and_decays(model, *opts):
    """Name of a parameter -> (rate, decay)."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    settings = [
        (names[id(parameter)], (group["lr"], group["weight_decay"]))
        for group in build_optimizer(config(*opts), model).param_groups
        for parameter in group["params"]
    ]
    assert len(dict(settings)) == len(settings)  # none is optimised twice
    return dict(settings)


def step(model, optimizer, gradients):
    """The parameters after a step with one gradient each, in all of its numbers."""
    for parameter, gradient in zip(model.parameters(), gradients):
        parameter.grad = torch.full_like(parameter, gradient)
    optimizer.step()
    return [parameter.item() for parameter in model.parameters()]


def test_rates_and_decays():
    decayed, plain = ("fc.weight", "fc.bias"), ("norm.weight", "norm.bias")
    plain += ("init_kernels", "no_object", "query_embed")
    assert rates_and_decays(layers()) == {
        **{f"backbone.0.{name}": (0.05, 0.25) for name in ("weight", "bias")},
        **{f"backbone.1.{name}": (0.05, 0.0) for name in ("weight", "bias")},
        # backbone.2 is frozen
        **{f"sem_seg_head.{name}": (0.5, 0.25) for name in decayed},
        **{f"sem_seg_head.{name}": (0.5, 0.0) for name in plain},
    }


def test_a_backbone_whose_trained_part_is_new_has_the_rate_of_the_head():
    model = pair()
    model["backbone"].is_new = True
    assert [rate for rate, _ in rates_and_decays(model).values()] == [0.5, 0.5]


SGD = ("SOLVER.OPTIMIZER", "SGD", "SOLVER.MOMENTUM", 0.0, "SOLVER.WEIGHT_DECAY", 0.0)
LIMIT = "SOLVER.CLIP_GRADIENTS.FULL_MODEL_NORM"


@pytest.mark.parametrize("limit, norm", [(0.01, 0.01), (1.0, 1.0), (0.0, 5e6), (1e7, 5e6)])
def test_the_gradient_is_clipped_over_the_whole_model(limit, norm):
    model = pair()
    optimizer = build_optimizer(config(*SGD, LIMIT, limit), model)
    # the gradient keeps its direction (0.6, 0.8); rates are 0.05 and 0.5
    moved = step(model, optimizer, (3e6, 4e6))
    assert moved == pytest.approx([-0.05 * 0.6 * norm, -0.5 * 0.8 * norm], rel=1e-5)


def test_clipping_is_switched_off_and_says_so(caplog):
    model, off = pair(), ("SOLVER.CLIP_GRADIENTS.ENABLED", False)
    with caplog.at_level("INFO"):
        optimizer = build_optimizer(config(*SGD, *off), model)
    assert "gradients are not clipped" in caplog.text
    assert step(model, optimizer, (8.0, 8.0)) == pytest.approx([-0.05 * 8, -0.5 * 8])


def test_biases_have_their_own_rate_and_decay():
    opts = ("SOLVER.BIAS_LR_FACTOR", 2.0, "SOLVER.WEIGHT_DECAY_BIAS", 0.125)
    assert rates_and_decays(layers(), *opts)["sem_seg_head.fc.bias"] == (1.0, 0.125)


def test_nesterov_takes_the_gradient_ahead():
    """Two steps with a gradient of 1 and a momentum m of 0.5 move by (1+m) + (1+m+m*m) rates."""
    opts = ("SOLVER.MOMENTUM", 0.5, "SOLVER.NESTEROV", True, LIMIT, 0.0)
    model = pair()
    optimizer = build_optimizer(config(*SGD, *opts), model)
    moved = [step(model, optimizer, (1.0, 1.0)) for _ in range(2)][-1]
    assert moved == pytest.approx([-0.05 * (1.5 + 1.75), -0.5 * (1.5 + 1.75)])
    with pytest.raises(UserError, match="NESTEROV needs a SOLVER.MOMENTUM"):
        build_optimizer(config(*SGD, "SOLVER.NESTEROV", True), pair())


def test_mixed_precision_is_unscaled_before_clipping():
    model = pair()
    optimizer = build_optimizer(config(LIMIT, 0.01), model)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    loss = 0.003 * model.backbone.weight.sum() + 0.004 * model.sem_seg_head.weight.sum()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    moments = [optimizer.state[parameter]["exp_avg"].item() for parameter in model.parameters()]
    assert moments == pytest.approx([0.1 * 0.003, 0.1 * 0.004])


@pytest.mark.parametrize("limit", [0.0, 0.01])
@pytest.mark.parametrize("name, kind", [("ADAMW", torch.optim.AdamW), ("SGD", torch.optim.SGD)])
def test_a_step_is_that_of_torchs_plain_optimizer(name, kind, limit):
    models = [nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2)) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    opts = ("SOLVER.OPTIMIZER", name, LIMIT, limit, "SOLVER.WEIGHT_DECAY_NORM", 0.25)
    extra = {"momentum": 0.9} if name == "SGD" else {}
    theirs = kind(models[1].parameters(), 0.5, weight_decay=0.25, **extra)
    for model, optimizer in zip(models, (build_optimizer(config(*opts), models[0]), theirs)):
        for _ in range(3):
            optimizer.zero_grad()
            (3 * model(torch.ones(1, 3)).square()).sum().backward()
            if optimizer is theirs and limit:
                nn.utils.clip_grad_norm_(model.parameters(), limit)
            optimizer.step()
    torch.testing.assert_close(list(models[0].parameters()), list(models[1].parameters()))


class Generative(nn.Module):
    """A head with a number of its own, a generator and a classifier, in one number each."""

    adam_parts = ("generator", "classifier")

    def __init__(self):
        super().__init__()
        for part in ("trunk", *self.adam_parts):
            setattr(self, part, nn.Linear(1, 1, bias=False))


def generative():
    model = nn.ModuleDict({"sem_seg_head": Generative()})
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    rates = ("MODEL.SYNTHESIS.GENERATOR_LR", 0.25, "MODEL.SYNTHESIS.CLASSIFIER_LR", 0.125)
    cfg = config(*SGD[:3], 0.9, "SOLVER.CLIP_GRADIENTS.ENABLED", False, *rates)
    return model, build_optimizer(cfg, model)


def test_a_generator_has_adam_and_what_has_no_part_in_a_step_is_left_alone():
    # SGD's step is the rate of the gradient with the decay of 0.25; Adam's first is its rate
    trunk = 1 - 0.5 * (2 + 0.25)
    assert step(*generative(), [2, 0, -3]) == pytest.approx([trunk, 1, 1 + 0.125])
    # a classifier's decay is part of its gradient, -0.2 + 0.25, and a generator has none
    assert step(*generative(), [2, -0.2, -0.2]) == pytest.approx([trunk, 1 + 0.25, 1 - 0.125])


def test_a_parameter_may_have_its_first_part_in_a_later_step():
    """A rate of 0.5 and a momentum of 0.9, no decay: weight and bias of one module."""
    model = nn.ModuleDict({"sem_seg_head": Generative()})
    trunk = model.sem_seg_head.trunk = nn.Linear(1, 1)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    optimizer = build_optimizer(config(*SGD[:3], 0.9, *SGD[4:], LIMIT, 0.0), model)
    step(trunk, optimizer, (1.0, 0.0))
    assert step(trunk, optimizer, (1.0, 1.0)) == pytest.approx([-0.5 * (1 + 1.9), -0.5])


def test_a_part_of_a_head_may_have_a_rate_of_its_own():
    head = Generative()
    head.rate_factors = {"trunk": 0.25}
    found = rates_and_decays(nn.ModuleDict({"sem_seg_head": head}))
    assert found["sem_seg_head.trunk.weight"] == (0.5 * 0.25, 0.25)


def test_moments_of_both_optimizers_are_saved_and_restored():
    gradients = [[2, 1, -3], [1, -4, 2], [0.5, 3, 1]]
    model, optimizer = generative()
    for three in gradients[:2]:
        step(model, optimizer, three)
    saved, weights = copy.deepcopy((optimizer.state_dict(), model.state_dict()))
    expected = step(model, optimizer, gradients[2])
    other, resumed = generative()
    other.load_state_dict(weights)
    restore_moments(resumed, saved)
    assert step(other, resumed, gradients[2]) == expected
    for group in resumed.param_groups:  # a schedule of the whole reaches the parts
        group["lr"] = 0.0
    assert step(other, resumed, [1, 1, 1]) == expected
