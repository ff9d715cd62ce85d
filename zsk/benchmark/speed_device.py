"""The device that speed is measured on: its name, its peak, and the memory that a process took."""

from __future__ import annotations

import ctypes
import platform
import resource
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

# 10¹² operations per second, dense, as the makers' data sheets say: single precision without
# tensor cores, half precision with them
_PEAK_TFLOPS = {
    "H100 PCIe": (51.0, 756.0),
    "H100": (67.0, 989.0),
    "H200": (67.0, 989.0),
    "A100": (19.5, 312.0),
    "L40S": (91.6, 362.0),
    "L4": (30.3, 121.0),
    "V100": (15.7, 125.0),
    "T4": (8.1, 65.0),
    "RTX 4090": (82.6, 165.2),
    "RTX 3090": (35.6, 71.0),
}


def device_name() -> str:
    """The GPU's name, or the processor's and the number of torch's threads."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' if threads > 1 else ''}"


def peak_tflops(device: str, half: bool) -> float | None:
    """10¹² operations per second that the device can do; None where that is not known."""
    for name, (single, double_speed) in _PEAK_TFLOPS.items():
        if all(word in device for word in name.split()):
            return double_speed if half else single
    return None


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
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    # it never falls, and where a process was started from a larger one it starts with that one's
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest / 1e6 if sys.platform == "darwin" else highest * 1024 / 1e6


def megabytes(tensors: Iterable[Tensor]) -> float:
    """10⁶ bytes of the tensors."""
    return sum(t.numel() * t.element_size() for t in tensors) / 1e6


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
