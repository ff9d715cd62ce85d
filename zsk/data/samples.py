"""Training images in an order, and with random views, that the seed and the position decide.

Random draws never depend on what came before. So a resumed training draws what the uninterrupted
one draws, whatever an evaluation, another number of workers or the start of the program have drawn
in between.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm
from torch.utils.data import Dataset


class PositionSampler(TrainingSampler):
    """Detectron2's endless shuffle as (position, index), from the `start`-th of this process on.

    Positions count the images of all processes: that of process r of R has the positions r, r+R, ….
    """

    def __init__(self, size: int, seed: int, start: int):
        super().__init__(size, seed=seed)
        self.start = start

    def __iter__(self) -> Iterator[tuple[int, int]]:
        positions = itertools.count(comm.get_rank(), comm.get_world_size())
        yield from itertools.islice(zip(positions, super().__iter__()), self.start, None)


class SeededSamples(Dataset[dict[str, Any]]):
    """Maps (position, index) to a mapped record; its random view depends on seed and position."""

    def __init__(
        self,
        records: Sequence[dict[str, Any]],
        mapper: Callable[[dict[str, Any]], dict[str, Any]],
        seed: int,
    ):
        self.records = records
        self.mapper = mapper
        self.seed = seed

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, place: tuple[int, int]) -> dict[str, Any]:
        position, index = place
        with seeded_sample(self.seed, position):
            return self.mapper(self.records[index])


def seed_iteration(seed: int, iteration: int, rank: int) -> None:
    """Seed Python's, numpy's and torch's generators (CUDA's too) for one iteration of a process."""
    torch.manual_seed(_seed(seed, 0, iteration, rank))


@contextmanager
def seeded_sample(seed: int, position: int) -> Iterator[None]:
    """Python's, numpy's and torch's CPU generators seeded for one training image; then as before.

    `position` counts the images that all processes have shown, from 0. CUDA stays untouched: a
    loader's worker process must not use it.
    """
    saved = random.getstate(), np.random.get_state(), torch.get_rng_state()
    torch.default_generator.manual_seed(_seed(seed, 1, position))
    try:
        yield
    finally:
        random.setstate(saved[0])
        np.random.set_state(saved[1])
        torch.set_rng_state(saved[2])


def _seed(*numbers: int) -> int:
    """Seed Python and numpy; a third seed. Unrelated for every sequence of numbers >= 0."""
    for_python, for_numpy, for_torch = np.random.SeedSequence(numbers).generate_state(3).tolist()
    random.seed(for_python)
    np.random.seed(for_numpy)
    return int(for_torch)
