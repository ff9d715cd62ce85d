"""Parameter groups and full-model clipping of a model of a few numbers."""

import pytest
import torch
from detectron2.config import get_cfg
from torch import nn

from zsk.config import add_zsk_config
from zsk.errors import UserError
from zsk.solver import build_optimizer


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.norm = nn.LayerNorm(2)
        self.init_kernels = nn.Parameter(torch.zeros(3, 2))
        self.no_object = nn.Parameter(torch.zeros(1, 2))
        self.query_embed = nn.Parameter(torch.zeros(3, 2))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.Conv2d(1, 1, 1))
        self.backbone[2].requires_grad_(False)
        self.sem_seg_head = Head()


def config(*opts):
    cfg = get_cfg()
    add_zsk_config(cfg)
    cfg.SOLVER.BASE_LR = 0.5
    cfg.SOLVER.WEIGHT_DECAY = 0.25
    cfg.merge_from_list(list(opts))
    return cfg


def settings_by_name(model, optimizer):
    """Parameter name -> (learning rate, weight decay), for parameters that are optimised."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def test_rates_and_decays():
    model = Model()
    assert settings_by_name(model, build_optimizer(config(), model)) == {
        "backbone.0.weight": (0.05, 0.25),
        "backbone.0.bias": (0.05, 0.25),
        "backbone.1.weight": (0.05, 0.0),
        "backbone.1.bias": (0.05, 0.0),
        # backbone.2 is frozen
        "sem_seg_head.fc.weight": (0.5, 0.25),
        "sem_seg_head.fc.bias": (0.5, 0.25),
        "sem_seg_head.norm.weight": (0.5, 0.0),
        "sem_seg_head.norm.bias": (0.5, 0.0),
        "sem_seg_head.init_kernels": (0.5, 0.0),
        "sem_seg_head.no_object": (0.5, 0.0),
        "sem_seg_head.query_embed": (0.5, 0.0),
    }


def test_no_parameter_is_optimised_twice():
    optimizer = build_optimizer(config(), Model())
    parameters = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert len(parameters) == len(set(parameters)) == 11


def test_the_backbone_multiplier_is_read():
    model = Model()
    optimizer = build_optimizer(config("SOLVER.BACKBONE_MULTIPLIER", 0.5), model)
    assert settings_by_name(model, optimizer)["backbone.0.weight"] == (0.25, 0.25)


class Pair(nn.Module):
    """One number in the backbone and one in the head."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(1, 1, bias=False)
        self.sem_seg_head = nn.Linear(1, 1, bias=False)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def step(self, optimizer, *gradients):
        for parameter, gradient in zip(self.parameters(), gradients):
            parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
        return [parameter.item() for parameter in self.parameters()]


SGD = ("SOLVER.OPTIMIZER", "SGD", "SOLVER.MOMENTUM", 0.0, "SOLVER.WEIGHT_DECAY", 0.0)
LIMIT = "SOLVER.CLIP_GRADIENTS.FULL_MODEL_NORM"


@pytest.mark.parametrize("limit, norm", [(0.01, 0.01), (1.0, 1.0), (0.0, 5e6)])
def test_a_huge_gradient_is_clipped_over_the_whole_model(limit, norm):
    model = Pair()
    moved = model.step(build_optimizer(config(*SGD, LIMIT, limit), model), 3e6, 4e6)
    # the gradient keeps its direction (0.6, 0.8); rates are 0.05 and 0.5
    assert moved == pytest.approx([-0.05 * 0.6 * norm, -0.5 * 0.8 * norm], rel=1e-5)


def test_a_small_gradient_is_left_alone():
    model = Pair()
    moved = model.step(build_optimizer(config(*SGD, LIMIT, 0.01), model), 0.003, 0.004)
    assert moved == pytest.approx([-0.05 * 0.003, -0.5 * 0.004])


def test_mixed_precision_is_unscaled_before_clipping():
    model = Pair()
    optimizer = build_optimizer(config(*SGD, LIMIT, 0.01), model)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    loss = 0.003 * model.backbone.weight.sum() + 0.004 * model.sem_seg_head.weight.sum()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    moved = [parameter.item() for parameter in model.parameters()]
    assert moved == pytest.approx([-0.05 * 0.003, -0.5 * 0.004])


def test_mixed_precision_is_unscaled_before_clipping_for_adamw():
    model = Pair()
    optimizer = build_optimizer(config(LIMIT, 0.01), model)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    loss = 0.003 * model.backbone.weight.sum() + 0.004 * model.sem_seg_head.weight.sum()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    moments = [optimizer.state[parameter]["exp_avg"].item() for parameter in model.parameters()]
    assert moments == pytest.approx([0.1 * 0.003, 0.1 * 0.004])


@pytest.mark.parametrize("limit", [0.0, 0.01])
def test_a_step_is_that_of_torchs_plain_adamw(limit):
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2)) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    opts = config(LIMIT, limit, "SOLVER.WEIGHT_DECAY_NORM", 0.25)
    groups = [build_optimizer(opts, models[0]), torch.optim.AdamW(models[1].parameters(), 0.5)]
    groups[1].param_groups[0]["weight_decay"] = 0.25
    for _ in range(3):
        for model, optimizer in zip(models, groups):
            optimizer.zero_grad()
            (3 * model(torch.ones(1, 3)).square()).sum().backward()
            if optimizer is groups[1] and limit:
                nn.utils.clip_grad_norm_(model.parameters(), limit)
            optimizer.step()
    torch.testing.assert_close(list(models[0].parameters()), list(models[1].parameters()))


def test_momentum_is_sgds():
    model = Pair()
    optimizer = build_optimizer(config(*SGD[:2], "SOLVER.WEIGHT_DECAY", 0.0, LIMIT, 0.0), model)
    model.step(optimizer, 0.0, 1.0)
    assert model.step(optimizer, 0.0, 1.0)[1] == pytest.approx(-0.5 * (1 + 1.9))


@pytest.mark.parametrize("limit", [0.0, 0.01])
@pytest.mark.parametrize("name, kind", [("ADAMW", torch.optim.AdamW), ("SGD", torch.optim.SGD)])
def test_the_optimizer_is_torchs(name, kind, limit):
    optimizer = build_optimizer(config("SOLVER.OPTIMIZER", name, LIMIT, limit), Model())
    assert isinstance(optimizer, kind)


def test_an_unknown_optimizer_names_the_choices():
    with pytest.raises(UserError, match="SOLVER.OPTIMIZER is 'LION': choose ADAMW or SGD"):
        build_optimizer(config("SOLVER.OPTIMIZER", "LION"), Model())
