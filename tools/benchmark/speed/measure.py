"""Runs a case in a process of its own; the records of speed.json."""

from __future__ import annotations

import json
import multiprocessing
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from zsk.errors import UserError
from zsk.evaluation.report import write_atomically

from .cases import Case
from .subjects import build

RESULTS_FILE = "speed.json"
LEAST_SECONDS = 2.0  # of all timed runs together; slow cases have three runs
T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """A record of speed.json.

    Attributes:
        median_seconds, min_seconds, max_seconds: of `runs` runs.
        ratio_to_reference: of the median to that of the reference beside it, if there is one.
        peak_mb: 10⁶ bytes that the process had at most, or, on a GPU, were allocated there.
        half: MODEL.TEST_DTYPE was float16.
        quick: of a tiny model: the numbers mean nothing.
        revision, date: the commit and the day (UTC).
        gflops: 10⁹ floating-point operations of a run, two for a multiply-add, as torch counts
            convolutions, matrix products and attention; None: not counted.
    """

    device: str
    measure: str
    variant: str
    settings: dict[str, Any]
    median_seconds: float
    min_seconds: float
    max_seconds: float
    ratio_to_reference: float | None
    peak_mb: float
    runs: int
    half: bool
    revision: str
    date: str
    gflops: float | None = None
    quick: bool = False


def measure(case: Case) -> dict[str, Any]:
    """Build a case in this process, warm it up with one run, time more: a Result's fields."""
    step = build(case)
    start = time.perf_counter()
    step()
    enough = max(LEAST_SECONDS, 2.5 * (time.perf_counter() - start))
    timer = Timer("step()", globals={"step": step}, num_threads=torch.get_num_threads())
    timed = timer.blocked_autorange(min_run_time=enough)
    return {
        "device": _device_name(),
        "median_seconds": timed.median,
        "min_seconds": min(timed.times),
        "max_seconds": max(timed.times),
        "runs": len(timed.times),
        "peak_mb": _peak_mb(),
        "gflops": _gflops(step) if case.count_flops else None,
    }


def _gflops(step: Callable[[], Any]) -> float:
    # the counter does not know the attention kernels of a CPU, but the products that they stand for
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step()
    torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops() / 1e9


def run_once(case: Case) -> None:
    """Leave a case's text embeddings in the cache."""
    build(case)()


def in_fresh_process(function: Callable[[Case], T], case: Case) -> T:
    """What the function returns in a new interpreter, whose peak memory is the case's own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, case).result()


def _device_name() -> str:
    """The GPU's name, or the processor's and the number of torch's threads."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info, name = Path("/proc/cpuinfo"), platform.processor() or platform.machine()
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
    threads = torch.get_num_threads()
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}"


def _peak_mb() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def write_results(results: Sequence[Result], folder: Path) -> None:
    """Write RESULTS_FILE; the folder exists."""
    text = json.dumps([asdict(result) for result in results], indent=1, allow_nan=False)
    write_atomically(folder / RESULTS_FILE, f"{text}\n".encode())


def read_results(folder: Path) -> list[Result]:
    """The results in a folder, none without RESULTS_FILE; fields of older versions are left out.

    Raises:
        UserError: the file is damaged or holds something else.
    """
    path = folder / RESULTS_FILE
    names = [field.name for field in fields(Result)]
    try:
        entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        return [Result(**{n: entry[n] for n in names if n in entry}) for entry in entries]
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise UserError(
            f"{path} cannot be read ({error!r}): it has to be a list of objects with "
            f"{', '.join(names)}; move it away, or give another --output"
        ) from error
