"""Helpers: a measurement of which a test names what matters."""

from __future__ import annotations

from typing import Any

from zsk.benchmark.speed_results import Measurement


def measurement(measure: str, variant: str, seconds: float, **changes: Any) -> Measurement:
    """`seconds` is least, median and most; no reference unless `ratio_to_reference` is given."""
    values: dict[str, Any] = {
        "device": "a device, 2 threads",
        "measure": measure,
        "variant": variant,
        "settings": {},
        "median_seconds": seconds,
        "min_seconds": seconds,
        "max_seconds": seconds,
        "ratio_to_reference": None,
        "peak_mb": 1000.0,
        "libraries_mb": 0.0,
        "gflops": 2.0,
        "revision": "abc",
        "date": "2026-11-23",
        "runs": 1,
        "half": False,
        "params": 1_500_000,
        "model_mb": 6.0,
        "crops": 0.0,
        "parts": {},
    }
    return Measurement(**{**values, **changes})
