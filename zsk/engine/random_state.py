"""The random state of a process as values that torch.load(weights_only=True) reads."""

import random
from typing import Any

import numpy as np
import torch


def random_state() -> dict[str, Any]:
    """State of Python's, numpy's and torch's global generators (CUDA's where there is one)."""
    version, internal, gauss = random.getstate()
    generator: Any = np.random.get_state(legacy=False)
    return {
        "python": [version, list(internal), gauss],
        "numpy": {
            **generator,
            "state": {
                "key": torch.from_numpy(generator["state"]["key"].astype(np.int64)),
                "pos": generator["state"]["pos"],
            },
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Restore what `random_state` returned; CUDA's only when the number of devices agrees."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    key = state["numpy"]["state"]["key"].numpy().astype(np.uint32)
    position = state["numpy"]["state"]["pos"]
    np.random.set_state({**state["numpy"], "state": {"key": key, "pos": position}})
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
