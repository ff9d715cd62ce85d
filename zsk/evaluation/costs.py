"""What a model costs: its trainable parameters, and its seconds per image as it is evaluated."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from detectron2.utils import comm
from torch import nn

from zsk.evaluation.report import write_atomically
from zsk.norm_folding import folded_parameters

COSTS_FILE = "costs.json"
"""In OUTPUT_DIR/inference, over all its data sets: metrics.json holds nothing that may differ."""

_WARMUP = 5  # batches left out, as Detectron2's own speed report does, of at least one more


def trainable_parameters(model: nn.Module) -> int:
    """How many numbers of the model training changes, or changed before norms were folded."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad) + folded_parameters(model)


class ForwardClock:
    """Seconds that a model's forward takes, without loading and scoring."""

    def __init__(self) -> None:
        self._calls: list[tuple[float, int]] = []  # (seconds, images)
        self._start = 0.0

    def before(self, model: nn.Module, args: Any) -> None:
        """A forward pre-hook."""
        self._start = _now()

    def after(self, model: nn.Module, args: Any, results: list[Any]) -> None:
        """A forward hook; `results` has one entry per image."""
        self._calls.append((_now() - self._start, len(results)))

    @property
    def seconds_per_image(self) -> float | None:
        """The mean over all images but those of the first batches; None before any was seen."""
        calls = self._calls[min(_WARMUP, len(self._calls) - 1) :] if self._calls else []
        images = sum(count for _, count in calls)
        return sum(seconds for seconds, _ in calls) / images if images else None


@contextmanager
def measured(model: nn.Module, output_dir: str | os.PathLike[str]) -> Iterator[None]:
    """While it lasts, time the model's forward; then write OUTPUT_DIR/inference/COSTS_FILE.

    It holds {"parameters": those that are trained, "seconds_per_image": a number or null}; on
    several processes, the first one's.
    """
    clock = ForwardClock()
    hooks = model.register_forward_pre_hook(clock.before), model.register_forward_hook(clock.after)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    if comm.is_main_process():
        costs = {
            "parameters": trainable_parameters(model),
            "seconds_per_image": clock.seconds_per_image,
        }
        folder = Path(output_dir) / "inference"
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / COSTS_FILE, (json.dumps(costs) + "\n").encode())


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
