"""Several optimizers that act as one: SGD for a backbone, Adam for a generator of features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer


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
