"""The random state survives a checkpoint."""

import random

import numpy as np
import torch

from zsk.engine.random_state import random_state, set_random_state


def draw():
    """Numbers of all three generators; odd counts of normal ones leave one cached."""
    return (
        random.random(),
        random.gauss(0, 1),
        np.random.rand(2).tolist(),
        np.random.normal(),
        torch.rand(2).tolist(),
        torch.randn(1).item(),
    )


def seed(value):
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)


def test_draws_go_on_where_the_checkpoint_was_saved(tmp_path):
    seed(1)
    draw()
    torch.save(random_state(), tmp_path / "state.pth")
    expected = draw()
    seed(2)
    assert draw() != expected
    for _ in range(2):
        set_random_state(torch.load(tmp_path / "state.pth", weights_only=True))
        assert draw() == expected
