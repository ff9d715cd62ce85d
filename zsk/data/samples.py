"""Training images in an order, and with random views, that the seed and the position decide.

Random draws never depend on what came before. So a resumed training draws what the uninterrupted
one draws, whatever an evaluation, another number of workers or the start of the program have drawn
in between.
"""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm
from torch.utils.data import Dataset

from zsk.errors import UnreadableFile, UserError

Record = dict[str, Any]

logger = logging.getLogger(__name__)


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


class SeededSamples(Dataset[Record]):
    """Maps (position, index) to a mapped record; its random view depends on seed and position.

    With `skip_unreadable` the next record of the list is taken where a photo or label cannot be
    read, and the mapped record has the key "skipped": photo → the reason, of those passed over.
    """

    def __init__(
        self,
        records: Sequence[Record],
        mapper: Callable[[Record], Record],
        seed: int,
        skip_unreadable: bool,
    ):
        self.records = records
        self.mapper = mapper
        self.seed = seed
        self.skip_unreadable = skip_unreadable

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, place: tuple[int, int]) -> Record:
        """Raises UserError when no record can be read, or for a mistake that is no damage."""
        position, index = place
        with seeded_sample(self.seed, position):
            if not self.skip_unreadable:
                return self.mapper(self.records[index])
            skipped: dict[str, str] = {}
            for step in range(len(self.records)):
                record = self.records[(index + step) % len(self.records)]
                try:
                    return {**self.mapper(record), "skipped": skipped}
                except UnreadableFile as error:
                    skipped[record["file_name"]] = last = str(error)
        raise UserError(f"none of the {len(skipped)} images can be read: {last}")


class SkippedFiles:
    """Batches of `loader`; counts the records that `SeededSamples` passed over.

    Every process counts what it came across itself. Of `total` records a `share` may be skipped.
    """

    def __init__(self, loader: Iterable[list[Record]], total: int, share: float) -> None:
        self.loader, self.total, self.share = loader, total, share
        self.files: dict[str, str] = {}  # photo → why it or its label cannot be read

    def __iter__(self) -> Iterator[list[Record]]:
        """Raises UserError when more files than the share allows were unreadable."""
        for batch in self.loader:
            for record in batch:
                for photo, reason in record.pop("skipped").items():
                    if photo not in self.files:
                        self.files[photo] = reason
                        logger.warning(f"skipped: {reason} ({self.summary()})")
            if len(self.files) > self.share * self.total:
                raise UserError(
                    f"{self.summary()}, which is more than DATALOADER.SKIP_UNREADABLE "
                    f"{self.share} allows: the last one is {list(self.files.values())[-1]}"
                )
            yield batch

    def summary(self) -> str:
        return f"{len(self.files)} of {self.total} training images cannot be read"


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
