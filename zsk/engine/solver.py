"""AdamW groups and full-model clipping around Detectron2's solver (section 5)."""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.solver.build import get_default_optimizer_params
from torch import nn
from torch.optim import Optimizer

from zsk.errors import UserError

# parameters that act as embeddings: weight decay would pull them to 0
EMBEDDINGS = ("init_kernels", "no_object", "query_embed")


def parameter_groups(cfg: CfgNode, model: nn.Module) -> dict[str, list[dict[str, Any]]]:
    """Groups by the optimizer that they have.

    The backbone has a lower rate, unless what it has learned is frozen and all else in it is new
    (`is_new`). Norms and embeddings have no decay, and a head's generator and classifier of
    generated features (`adam_parts`) have Adam and rates of their own, and the generator no decay.
    """
    solver, groups = cfg.SOLVER, defaultdict[str, list[dict[str, Any]]](list)
    for name, module in model.named_children():
        own = getattr(module, "adam_parts", ())
        factors = getattr(module, "rate_factors", {})
        slow = name == "backbone" and not getattr(module, "is_new", False)
        multiplier = solver.BACKBONE_MULTIPLIER if slow else 1.0
        for part, child in module.named_children() if own else [("", module)]:
            algorithm, bias_factor = solver.OPTIMIZER, solver.BIAS_LR_FACTOR
            rate = solver.BASE_LR * multiplier * factors.get(part, 1.0)
            if part in own:
                algorithm, bias_factor = "ADAM", 1.0
                rate = cfg.MODEL.SYNTHESIS[f"{part.upper()}_LR"]
            groups[algorithm] += get_default_optimizer_params(
                child,
                base_lr=rate,
                bias_lr_factor=bias_factor,
                weight_decay=0.0 if part == "generator" else solver.WEIGHT_DECAY,
                weight_decay_norm=solver.WEIGHT_DECAY_NORM,
                weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
                overrides={name: {"weight_decay": 0.0} for name in EMBEDDINGS},
            )
    return {algorithm: found for algorithm, found in groups.items() if found}


def build_optimizer(cfg: CfgNode, model: nn.Module) -> Optimizer:
    """SOLVER.OPTIMIZER over `parameter_groups`, clipped as SOLVER.CLIP_GRADIENTS says.

    The clipping comes before each step, where AMP's scaler has unscaled the gradients already.

    Raises:
        UserError: NESTEROV without a MOMENTUM, or a model without parameters to train.
    """
    groups = parameter_groups(cfg, model)
    if not groups:
        raise UserError(
            f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE} has nothing to train in this "
            "configuration: evaluate it with --eval-only"
        )
    if "SGD" in groups and cfg.SOLVER.NESTEROV and not cfg.SOLVER.MOMENTUM:
        raise UserError("SOLVER.NESTEROV needs a SOLVER.MOMENTUM over 0")
    in_phases = any(getattr(module, "adam_parts", ()) for module in model.children())
    # one kernel for all parameters is faster, but SGD's needs all of them from the first step on
    kinds: dict[str, Callable[..., Optimizer]] = {
        "ADAM": partial(torch.optim.Adam, fused=True),  # of `adam_parts` alone
        "ADAMW": partial(torch.optim.AdamW, fused=True),
        "SGD": partial(
            torch.optim.SGD,
            # with AMP, a fused first step of infinite gradients would leave momentum uninitialised
            fused=None if in_phases or cfg.SOLVER.AMP.ENABLED else True,
            momentum=cfg.SOLVER.MOMENTUM,
            nesterov=cfg.SOLVER.NESTEROV,
        ),
    }
    optimizers = [kinds[kind](found, lr=cfg.SOLVER.BASE_LR) for kind, found in groups.items()]
    optimizer = optimizers[0] if len(optimizers) == 1 else JointOptimizer(optimizers)
    limit = cfg.SOLVER.CLIP_GRADIENTS.FULL_MODEL_NORM
    if cfg.SOLVER.CLIP_GRADIENTS.ENABLED and limit > 0:
        # a fused step would unscale the gradients itself, after the clipping
        setattr(optimizer, "_step_supports_amp_scaling", False)
        optimizer.register_step_pre_hook(partial(_clip, limit))
    else:
        logging.getLogger(__name__).info("gradients are not clipped")
    if in_phases:
        optimizer.register_step_pre_hook(_leave_unused)
    return optimizer


class JointOptimizer(Optimizer):
    """Steps, rates and moments of its parts, whose groups are its own."""

    def __init__(self, parts: Sequence[Optimizer]) -> None:
        self.parts = list(parts)
        super().__init__([group for part in parts for group in part.param_groups], {})

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        for part in self.parts:
            self.state.update(part.state)
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        groups = iter(self.param_groups)  # new ones
        for part in self.parts:
            part.param_groups = [next(groups) for _ in part.param_groups]
            own = {p for group in part.param_groups for p in group["params"]}
            part.state.update({p: state for p, state in self.state.items() if p in own})


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _leave_unused(optimizer: Optimizer, *_: Any) -> None:
    # systems that learn in phases keep all parameters in the graph, for several processes: one
    # whose gradient is exactly 0 has no part in this step, not even decay or momentum
    gradients = [(p, p.grad) for p in _parameters(optimizer) if p.grad is not None]
    if gradients:  # a GPU is waited for once
        used = torch.stack([gradient.any() for parameter, gradient in gradients]).tolist()
        for (parameter, gradient), is_used in zip(gradients, used):
            parameter.grad = gradient if is_used else None


def _clip(limit: float, optimizer: Optimizer, *_: Any) -> None:
    nn.utils.clip_grad_norm_(_parameters(optimizer), limit)


def restore_moments(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Take over what a saved optimizer has gathered; rates and decays stay those given now."""
    optimizer.load_state_dict({**optimizer.state_dict(), "state": saved["state"]})


def set_iteration(scheduler: Any, iteration: int) -> None:
    """Put a new scheduler of Detectron2, and its optimizer's rates, to the start of an iteration.

    Those schedulers compute a rate from the iteration alone.
    """
    scheduler.last_epoch = iteration
    rates = scheduler.get_lr()
    for group, rate in zip(scheduler.optimizer.param_groups, rates):
        group["lr"] = rate
    scheduler._last_lr = rates  # what get_last_lr() answers
