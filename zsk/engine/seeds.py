"""Random draws that depend on the seed and the place in training alone, never on what came before.

So a resumed training draws what the uninterrupted one draws, whatever an evaluation, another number
of workers or the start of the program have drawn in between.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_iteration(seed: int, iteration: int, rank: int) -> None:
    """Seed Python's, numpy's and torch's generators (CUDA's too) for one iteration of a process."""
    for_python, for_numpy, for_torch = _seeds(seed, 0, iteration, rank)
    random.seed(for_python)
    np.random.seed(for_numpy)
    torch.manual_seed(for_torch)


@contextmanager
def seeded_sample(seed: int, position: int) -> Iterator[None]:
    """Python's, numpy's and torch's CPU generators seeded for one training image; then as before.

    `position` counts the images that all processes have shown, from 0. CUDA stays untouched: a
    loader's worker process must not use it.
    """
    saved = random.getstate(), np.random.get_state(), torch.get_rng_state()
    for_python, for_numpy, for_torch = _seeds(seed, 1, position)
    random.seed(for_python)
    np.random.seed(for_numpy)
    torch.default_generator.manual_seed(for_torch)
    try:
        yield
    finally:
        random.setstate(saved[0])
        np.random.set_state(saved[1])
        torch.set_rng_state(saved[2])


def _seeds(*numbers: int) -> list[int]:
    """Three seeds of 32 bits, unrelated for every sequence of numbers >= 0."""
    words: list[int] = np.random.SeedSequence(numbers).generate_state(3).tolist()
    return words
