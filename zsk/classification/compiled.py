"""torch.compile for what computes the same shape again and again."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zsk.errors import UserError


def compiled(compute: Callable[[Tensor], Tensor], key: str) -> Callable[[Tensor], Tensor]:
    """`compute`, compiled at its first call and again for every shape that it is called with.

    Args:
        key: the configuration key that asked for it, for messages.

    Raises:
        UserError: by the result, when it is called: it cannot be compiled here.
    """
    fast = torch.compile(compute, dynamic=False)

    def run(values: Tensor) -> Tensor:
        from torch._dynamo.exc import TorchDynamoException  # not loaded where nobody compiles

        try:
            return fast(values)
        except TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise UserError(
                f"{key} is True, but torch.compile fails here ({reason}): it needs a C++ compiler "
                f"on a CPU and Triton on a GPU; install what is missing or set {key} to False"
            ) from error

    return run


def padded(values: Tensor, count: int) -> Tensor:
    """(R,…) → (count,…), R at most: zeros are added."""
    missing = count - len(values)
    return torch.cat([values, values.new_zeros(missing, *values.shape[1:])]) if missing else values
