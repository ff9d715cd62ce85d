"""Where the time goes: parts of a program timed from outside, for TEST.PROFILE and benchmarks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

import torch
from detectron2.utils import comm
from tabulate import tabulate
from torch import nn

MODEL_PARTS = {
    "backbone": ("backbone", "forward"),
    "sem_seg_head": ("proposals", "forward"),
    "text_classifier": ("text", "forward"),
    "region_classifier": ("CLIP", "classify"),
    "dense_clip": ("CLIP", "forward"),
}
"""Attribute of a meta-architecture: what its time is called, and the method that takes it."""

REST = "post-processing"
"""What is left of the model's forward: normalising, ensemble, labels."""


class PartClock:
    """Exclusive seconds per part: what a part calls counts for that part, not for its caller.

    Attributes:
        seconds: by part, in the order in which the parts began.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """While it lasts, time counts for `name`."""
        self._switch()
        self.seconds.setdefault(name, 0.0)
        self._running.append(name)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    def wrap(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """`function` with its time counted for `name`."""

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return timed

    def _switch(self) -> None:
        """Give the time since the last switch to the part that ran."""
        now = synchronised_now()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now


@contextmanager
def replaced(owner: Any, attribute: str, value: Any) -> Iterator[None]:
    """While it lasts, `owner` (this object only) has `value` for a method."""
    before = vars(owner).get(attribute)  # None: the method is the class's
    setattr(owner, attribute, value)
    try:
        yield
    finally:
        if before is None:
            delattr(owner, attribute)
        else:
            setattr(owner, attribute, before)


@contextmanager
def timed_parts(clock: PartClock, model: nn.Module) -> Iterator[None]:
    """While it lasts, the clock runs in a model's forward, split into MODEL_PARTS and REST."""
    with ExitStack() as stack:
        for attribute, (name, method) in MODEL_PARTS.items():
            owner = getattr(model, attribute, None)
            if owner is not None:
                timed = clock.wrap(getattr(owner, method), name)
                stack.enter_context(replaced(owner, method, timed))
        stack.enter_context(replaced(model, "forward", clock.wrap(model.forward, REST)))
        yield


class EvaluationProfile:
    """An evaluation's seconds per part: PartClock's, and those of loader and evaluator.

    Detectron2's loop makes the loader's iterator itself. So that it need not be changed, the time
    from the evaluator's return until the model is called counts as waiting for the loader.
    """

    def __init__(self) -> None:
        self.clock = PartClock()
        self.images = 0
        self._loader = 0.0
        self._waiting_since: float | None = None

    @contextmanager
    def attached(self, model: nn.Module, evaluators: Sequence[Any]) -> Iterator[None]:
        """While it lasts, every forward of the model and every call of the evaluators counts.

        `evaluators` are Detectron2's DatasetEvaluator or the like, one per data set; `model` is a
        meta-architecture, or a wrapper that has one as `module` or `model`.
        """
        inner = model
        for attribute in ("module", "model"):
            inner = getattr(inner, attribute, inner)
        with ExitStack() as stack:
            for evaluator in evaluators:
                for method in ("reset", "process", "evaluate"):
                    timed = self._waits_after(getattr(evaluator, method), "evaluator")
                    stack.enter_context(replaced(evaluator, method, timed))
            stack.enter_context(timed_parts(self.clock, inner))
            if inner is not model:
                whole = self.clock.wrap(model.forward, REST)
                stack.enter_context(replaced(model, "forward", whole))
            stack.enter_context(replaced(model, "forward", self._waited_before(model.forward)))
            yield

    def _waits_after(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        timed = self.clock.wrap(function, name)

        @wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            try:
                return timed(*args, **kwargs)
            finally:
                self._waiting_since = synchronised_now()

        return called

    def _waited_before(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(forward)
        def called(batched_inputs: Sequence[Any]) -> Any:
            if self._waiting_since is not None:
                self._loader += synchronised_now() - self._waiting_since
            self.images += len(batched_inputs)
            return forward(batched_inputs)

        return called

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by part, in the order of an image's way."""
        found = {"loader": self._loader, **self.clock.seconds}
        order = ["loader", *(name for name, _ in MODEL_PARTS.values()), REST, "evaluator"]
        return {name: found[name] for name in dict.fromkeys(order) if name in found}


@contextmanager
def profiled(enabled: bool, model: nn.Module, evaluators: Sequence[Any]) -> Iterator[None]:
    """TEST.PROFILE: while it lasts, profile an evaluation; then log the table (first process)."""
    if not enabled:
        yield
        return
    profile = EvaluationProfile()
    with profile.attached(model, evaluators):
        yield
    if comm.is_main_process() and profile.images:
        logger = logging.getLogger(__name__)
        logger.info(f"where the time went, {profile.images} images:\n{profile_table(profile)}")


def profile_table(profile: EvaluationProfile) -> str:
    """Seconds per image and share of each part, and their sum, as text."""
    return parts_table(profile.seconds, profile.images)


def parts_table(seconds: Mapping[str, float], images: int) -> str:
    """As `profile_table`, of seconds by part over `images` > 0 images."""
    total = sum(seconds.values())
    rows = [*seconds.items(), ("all", total)]
    return tabulate(
        [
            [name, f"{spent / images:.4f}", f"{spent / total if total else 0.0:.1%}"]
            for name, spent in rows
        ],
        headers=["part", "seconds per image", "share"],
        tablefmt="pipe",
        colalign=("left", "right", "right"),
        disable_numparse=True,
    )


def synchronised_now() -> float:
    """Seconds of a steady clock, after a GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
