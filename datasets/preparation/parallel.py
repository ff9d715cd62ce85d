"""Applies a function to many files, in one process or several, with a progress bar."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from zsk.errors import UserError

_MOST_DEFAULT_WORKERS = 16  # our choice: with more, the disk is the bottleneck
_FILES_PER_TASK = 4  # few, because Ctrl-C waits for tasks under way

Result = TypeVar("Result")


def default_workers() -> int:
    """One process per CPU that this process may use, at most 16."""
    if hasattr(os, "sched_getaffinity"):  # Linux: a container's share, not the whole machine
        available = len(os.sched_getaffinity(0))
    else:
        available = os.cpu_count() or 1
    return min(available, _MOST_DEFAULT_WORKERS)


def map_files(
    function: Callable[[Path], Result], paths: Sequence[Path], *, workers: int, description: str
) -> list[Result]:
    """`[function(path) for path in paths]`, in up to `workers` processes.

    On an error or Ctrl-C no further file is begun, files under way are finished, and the exception
    is raised; of several errors the one of the earliest file.

    Args:
        function: with several workers it has to be picklable, and so do its results and errors.
        paths: the files.
        workers: at most so many processes; 1 stays in this one.
        description: what the progress bar says.

    Raises:
        UserError: `workers` is not positive, a worker process was killed, or `function` raised it.
    """
    if workers < 1:
        raise UserError(f"the number of worker processes is {workers}: it has to be 1 or more")
    workers = min(workers, -(-len(paths) // _FILES_PER_TASK))
    if workers <= 1:
        with tqdm(paths, desc=description) as progress:  # closed, an error gets its own line
            return [function(path) for path in progress]
    pool = ProcessPoolExecutor(workers, initializer=_follow_the_parent)
    try:
        results = pool.map(function, paths, chunksize=_FILES_PER_TASK)
        with tqdm(results, desc=description, total=len(paths)) as progress:
            return list(progress)
    except BrokenProcessPool as error:
        raise UserError(
            f"a worker process was killed during {description}, perhaps for want of memory: "
            "run again with fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_the_parent() -> None:
    """In a worker: ignore Ctrl-C, which the parent handles, and end when the parent is killed.

    A ProcessPoolExecutor's workers would wait for work for ever after that.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # only workers come here
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
