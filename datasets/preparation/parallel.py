"""Applies a function to many files, in several threads, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from zsk.errors import UserError

Result = TypeVar("Result")


def map_files(
    function: Callable[[Path], Result], paths: Sequence[Path], *, workers: int, description: str
) -> list[Result]:
    """`[function(path) for path in paths]`, in `workers` threads.

    On Ctrl-C, or when the turn of a file with an error has come, no further file is begun, files
    under way are finished, and the exception is raised; of several errors the earliest file's.

    Args:
        function: called in several threads at once.
        paths: the files.
        workers: the number of threads.
        description: what the progress bar says.

    Raises:
        UserError: `workers` is not positive, or `function` raised it.
    """
    if workers < 1:
        raise UserError(f"the number of workers is {workers}: it has to be 1 or more")
    pool = ThreadPoolExecutor(workers)
    try:
        results = pool.map(function, paths)
        with tqdm(results, desc=description, total=len(paths)) as progress:
            return list(progress)
    finally:  # unlike a with block, it drops the files that wait also after a Ctrl-C in map
        pool.shutdown(cancel_futures=True)
