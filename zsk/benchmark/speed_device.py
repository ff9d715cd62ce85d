"""The device that speed is measured on: its name, its peak, and the memory that a process took."""

from __future__ import annotations

import ctypes
import platform
import re
import resource
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

# 10¹² operations per second, dense, as the makers' data sheets say: single precision without
# tensor cores, half precision (sums in float32) with them
_PEAK_TFLOPS = {
    "B200": (75.0, 2250.0),
    "GH200": (67.0, 989.0),
    "H200 NVL": (60.0, 835.0),
    "H200": (67.0, 989.0),
    "H100 PCIe": (51.0, 756.0),
    "H100 NVL": (60.0, 835.0),
    "H100": (67.0, 989.0),
    "A100": (19.5, 312.0),
    "A40": (37.4, 149.7),
    "A10G": (31.5, 70.0),
    "A10": (31.2, 125.0),
    "RTX A6000": (38.7, 154.8),
    "L40S": (91.6, 362.0),
    "L40": (90.5, 181.0),
    "L4": (30.3, 121.0),
    "V100": (15.7, 125.0),
    "T4": (8.1, 65.0),
    "RTX 4090": (82.6, 165.2),
    "RTX 3090": (35.6, 71.0),
}
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1  # mallopt(3)
_LARGE, _LARGEST = 500_000, 2**25  # bytes
_TIMED_SECONDS, _MOST_RUNS = 0.5, 50  # that `event_seconds` takes together


def device_name() -> str:
    """The GPU's name, or the processor's and the number of torch's threads."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' if threads > 1 else ''}"


def is_gpu(device: str) -> bool:
    """Whether `device_name` gave this name to a GPU."""
    return re.search(r", \d+ threads?$", device) is None


def peak_tflops(device: str, half: bool) -> float | None:
    """10¹² operations per second that the device can do; None where that is not known."""
    words = set(re.split(r"[\s-]+", device))
    for name, (single, double_speed) in _PEAK_TFLOPS.items():
        if words.issuperset(name.split()):
            return double_speed if half else single
    return None


def event_seconds(step: Callable[[], Any], about: float) -> float:
    """Seconds of a run on the GPU: the mean of runs in a row, between two events on its stream.

    `about`: a guess, from which follows how many runs take half a second.
    """
    runs = max(1, min(_MOST_RUNS, round(_TIMED_SECONDS / about)))
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(runs):
        step()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3 / runs


def reset_peak() -> None:
    """Forget the highest memory so far, where the system can."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif _CLEAR.exists():
        try:
            ctypes.CDLL(None).malloc_trim(0)  # what loading left behind (glibc only)
        except (AttributeError, OSError):
            pass
        try:
            _CLEAR.write_text("5")  # proc(5): the peak of the resident size starts anew
        except OSError:
            pass  # then loading the weights counts, too


def peak_mb() -> float:
    """Highest memory since `reset_peak` in 10⁶ bytes: allocated on the GPU, else this process's."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    if (highest := _status_mb("VmHWM:")) is not None:
        return highest
    # it never falls, and where a process was started from a larger one it starts with that one's
    maxrss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return maxrss / 1e6 if sys.platform == "darwin" else maxrss * 1024 / 1e6


def resident_mb() -> float:
    """10⁶ bytes that this process has in memory now; 0 on a GPU and where the system is silent."""
    return 0.0 if torch.cuda.is_available() else _status_mb("VmRSS:") or 0.0


def peak_mb_without_holes(step: Callable[[], Any]) -> float:
    """Highest memory of a process's third step, large blocks being handed back when they are freed.

    Otherwise the heap keeps holes between what is in use, up to 300 MB and others every time, which
    hide what two programs differ by (glibc only). Steps take longer so: none of these is timed.
    """
    _set_malloc(_LARGE, _LARGE)
    step()
    step()  # finds the optimizer's memory taken, and moves what lies in the way
    reset_peak()
    step()
    _set_malloc(_LARGEST, 2 * _LARGEST)
    return peak_mb()


def _set_malloc(large: int, top: int) -> None:
    """From `large` bytes on what is freed goes back to the system at once, and the heap's free end
    from `top` on. Both are fixed from then on; else they grow up to (_LARGEST, 2 · _LARGEST)."""
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, large)
        libc.mallopt(_M_TRIM_THRESHOLD, top)
    except (AttributeError, OSError):
        pass


def megabytes(tensors: Iterable[Tensor]) -> float:
    """10⁶ bytes of the tensors."""
    return sum(t.numel() * t.element_size() for t in tensors) / 1e6


def _status_mb(name: str) -> float | None:
    """A line of proc(5)'s status in 10⁶ bytes, None where there is none."""
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024 / 1e6
    return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
