"""Arithmetic of a run, counted as it happens with torch's own formulas.

fvcore counts in a trace, and a trace neither survives shapes that depend on the masks nor has a
backward pass. A test compares both on a small convolutional network, where they agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from .speed_subjects import Subject

_ATEN = torch.ops.aten
_FORMULAS: dict[Any, Callable[..., float]] = {
    **flop_registry,
    # the CPU's attention, which the registry lacks, does what the GPU's does
    _ATEN._scaled_dot_product_flash_attention_for_cpu: flop_registry[
        _ATEN._scaled_dot_product_flash_attention
    ],
    _ATEN._scaled_dot_product_flash_attention_for_cpu_backward: flop_registry[
        _ATEN._scaled_dot_product_flash_attention_backward
    ],
}


class Arithmetic(NamedTuple):
    """10⁹ operations of a photo (a training step), and of each crop that CLIP sees besides."""

    gflops: float
    crop_gflops: float


def gigaflops(subject: Subject) -> Arithmetic:
    """10⁹ floating-point operations per photo, or per training step; 2 for a multiply-add.

    Convolutions, matrix products and attention, whoever calls them; what goes value by value
    (norms, activations, resizing, roi_align) is not counted. A CPU cuts crops with matrix products,
    which are. Crops are alike: what encodes them is counted for one.
    """
    with subject.crops_left_out() as crops:
        total = count_flops(subject.step)
    each = count_flops(subject.encode_crop) if crops[0] else 0.0
    return Arithmetic(total / subject.photos / 1e9, each / 1e9)


def count_flops(run: Callable[[], Any]) -> float:
    """Operations of one call."""
    with _without_fast_path(), _Counter() as counter:
        run()
    return counter.total


class _Counter(TorchDispatchMode):
    """Sums torch's formulas over the operations that run.

    FlopCounterMode does so per module, for which it hooks every one of them: in training its hooks
    stumble over queries that need no gradient yet.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        formula = _FORMULAS.get(func._overloadpacket)
        if formula is None:
            with self:  # in inference mode, what consists of others arrives whole
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if formula is not None:
            self.total += formula(*args, **kwargs, out_val=result)
        return result


@contextmanager
def _without_fast_path() -> Iterator[None]:
    """torch's fused attention layer is one operation that the counter cannot look into."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
