"""Frozen networks inside a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class FrozenModule(nn.Module):
    """A module with networks that follow `.to(device)` only.

    The networks are not in parameters() and state_dict(), and train() does not change them, so
    optimisers, checkpoints and distributed wrappers of the model leave them out.
    """

    def __init__(self) -> None:
        super().__init__()
        self._networks: dict[str, nn.Module] = {}  # a plain dict: nn.Module registers nothing
        self._device = torch.device("cpu")

    @property
    def device(self) -> torch.device:
        return self._device

    def hold(self, name: str, network: nn.Module) -> None:
        """Take over `network` (on the CPU), in evaluation mode and without gradients."""
        self._networks[name] = network.eval().requires_grad_(False)

    def network(self, name: str) -> Any:
        """The network held as `name`; Any, for the sake of methods that nn.Module lacks."""
        return self._networks[name]

    def set_precision(self, network: nn.Module, device: torch.device) -> None:
        """Half precision on a GPU, single precision elsewhere. In place, after the move."""
        network.half() if device.type == "cuda" else network.float()

    @contextmanager
    def single_precision(self) -> Iterator[None]:
        """The networks in float32, on a GPU too: gradients that pass through need its range."""
        for network in self._networks.values():
            network.float()
        try:
            yield
        finally:
            self._settle_all()

    def _settle_all(self) -> None:
        """Move the networks to `device`, in their precision there."""
        for network in self._networks.values():
            self.set_precision(network.to(self._device), self._device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FrozenModule:
        # .to(), .cuda() and .cpu() all end here, and so do .half() and .double(), which must not
        # reach a frozen network: only the device is read off.
        super()._apply(fn, recurse)
        target = fn(torch.empty(0, device=self._device)).device
        if target != self._device:
            self._device = target
            self._settle_all()
        return self
