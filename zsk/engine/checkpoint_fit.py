"""Whether a checkpoint's tensors fit the model and the optimizer of a training."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zsk.errors import UserError

STATE = {"AdamW": {"step", "exp_avg", "exp_avg_sq"}, "SGD": set()}  # entries of each parameter


def check_model(model: nn.Module, saved: Mapping[str, Any], path: str) -> None:
    """Raise a UserError with the first tensor that the other side lacks or has in another shape."""
    wanted = model.state_dict()
    for key in [*wanted, *saved]:
        here, there = _shape(wanted.get(key)), _shape(saved.get(key))
        if here != there:
            raise another_configuration(path, f"{key} is {there} there and {here} here")


def check_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, trainer: Mapping[str, Any], path: str
) -> None:
    """Raise a UserError for a state that is of another optimizer or of other parameters.

    A fused optimizer reads and writes past the end of a state that is too short.
    """
    saved = trainer["_trainer"]["optimizer"]
    there, here = saved["param_groups"], optimizer.param_groups
    kind = _kind(there)
    if kind != _kind(here):
        raise another_configuration(path, f"the optimizer is {kind} there and {_kind(here)} here")
    sizes = [[len(group["params"]) for group in groups] for groups in (there, here)]
    if sizes[0] != sizes[1]:
        counts = [f"{sum(size)} parameters in {len(size)} groups" for size in sizes]
        raise another_configuration(
            path, f"the optimizer has {counts[0]} there and {counts[1]} here"
        )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    numbers = [number for group in there for number in group["params"]]
    for number, parameter in zip(numbers, (p for group in here for p in group["params"])):
        state, name = saved["state"].get(number, {}), names.get(id(parameter))
        for key in sorted(state.keys() | (STATE[kind] if state else set())):
            found = _shape(state.get(key))
            wanted = _shape(torch.empty(()) if key == "step" else parameter)
            if found != wanted and not (kind == "SGD" and found == "absent"):
                raise another_configuration(
                    path, f"the optimizer's {key} of {name} is {found} and not {wanted}"
                )


def _kind(groups: list[dict[str, Any]]) -> str:
    return "AdamW" if "betas" in groups[0] else "SGD"


def _shape(value: Any) -> str:
    if value is None:
        return "absent"
    return str(tuple(value.shape)) if isinstance(value, Tensor) else "no tensor"


def another_configuration(path: str, difference: str) -> UserError:
    return UserError(
        f"checkpoint {path} is of another configuration: {difference}; resume with the "
        "configuration that wrote it, or train without --resume into another OUTPUT_DIR"
    )
