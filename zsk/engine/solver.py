"""AdamW groups and full-model clipping around Detectron2's solver (section 5)."""

import functools
import itertools
import logging
from collections.abc import Mapping
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.solver.build import get_default_optimizer_params
from torch import nn

from zsk.errors import UserError

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "ADAMW": torch.optim.AdamW,
    "SGD": torch.optim.SGD,
}
# parameters that act as embeddings: weight decay would pull them to 0
EMBEDDINGS = ("init_kernels", "no_object", "query_embed")


def parameter_groups(cfg: CfgNode, model: nn.Module) -> list[dict[str, Any]]:
    """Groups with the backbone's lower rate, and no decay on norms and embeddings."""
    parts: list[tuple[nn.Module, float]] = [
        (module, cfg.SOLVER.BACKBONE_MULTIPLIER if name == "backbone" else 1.0)
        for name, module in model.named_children()
    ]
    groups: list[dict[str, Any]] = []
    for module, multiplier in parts:
        groups += get_default_optimizer_params(
            module,
            base_lr=cfg.SOLVER.BASE_LR * multiplier,
            weight_decay=cfg.SOLVER.WEIGHT_DECAY,
            weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
            bias_lr_factor=cfg.SOLVER.BIAS_LR_FACTOR,
            weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
            overrides={name: {"weight_decay": 0.0} for name in EMBEDDINGS},
        )
    return groups


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """SOLVER.OPTIMIZER over `parameter_groups`, clipped as SOLVER.CLIP_GRADIENTS says.

    The clipping comes before each step, where AMP's scaler has unscaled the gradients already.

    Raises:
        UserError: NESTEROV without a MOMENTUM, or a model without parameters to train.
    """
    kind = OPTIMIZERS[cfg.SOLVER.OPTIMIZER]
    groups = parameter_groups(cfg, model)
    if not groups:
        raise UserError(
            f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE} has nothing to train in this "
            "configuration: evaluate it with --eval-only"
        )
    # fused: one kernel for all parameters, which is faster
    settings: dict[str, Any] = {"lr": cfg.SOLVER.BASE_LR, "fused": True}
    if kind is torch.optim.SGD:
        if cfg.SOLVER.NESTEROV and not cfg.SOLVER.MOMENTUM:
            raise UserError("SOLVER.NESTEROV needs a SOLVER.MOMENTUM over 0")
        settings |= {"momentum": cfg.SOLVER.MOMENTUM, "nesterov": cfg.SOLVER.NESTEROV}
    optimizer = kind(groups, **settings)
    limit = cfg.SOLVER.CLIP_GRADIENTS.FULL_MODEL_NORM
    if cfg.SOLVER.CLIP_GRADIENTS.ENABLED and limit > 0:
        # a fused step would unscale the gradients itself, after the clipping
        setattr(optimizer, "_step_supports_amp_scaling", False)
        optimizer.register_step_pre_hook(functools.partial(_clip, limit))
    else:
        logging.getLogger(__name__).info("gradients are not clipped")
    return optimizer


def _clip(limit: float, optimizer: torch.optim.Optimizer, *_: Any) -> None:
    parameters = itertools.chain(*(group["params"] for group in optimizer.param_groups))
    torch.nn.utils.clip_grad_norm_(parameters, limit)


def restore_moments(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
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
