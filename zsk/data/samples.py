"""Training images in an order, and with random views, that the seed and the position decide."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm
from torch.utils.data import Dataset

from zsk.engine.seeds import seeded_sample


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
