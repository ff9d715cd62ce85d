"""What the project has set itself to reach in speed, judged by measurements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from . import speed_cases as cases
from .speed_results import Measurement

ONE_PASS_TIMES, ONE_PASS_TARGET, ONE_PASS_MEMORY = 15.0, 20.0, 0.5
PRUNED_TIMES = 3.0
NAMES_GROWTH = 0.10
SLOPE_PER_PROPOSAL, LINEAR_ERROR = 0.005, 0.10  # our reading of "linear with a small slope"


class Bar(NamedTuple):
    """`passed` is None where the measurements do not say."""

    wanted: str
    measured: str
    passed: bool | None

    @property
    def verdict(self) -> str:
        return {None: "not measured", True: "passed", False: "missed"}[self.passed]


def judge(results: Sequence[Measurement]) -> list[Bar]:
    """All bars; those of half precision and of accuracy are not among them."""
    single = [result for result in results if not result.half]
    one_pass = _find(single, cases.INFERENCE, cases.ONE_PASS)
    reference = _find(single, cases.INFERENCE, cases.REFERENCE)
    pruned = _find(single, cases.TRAINED, cases.PRUNED)
    queries = _find(single, cases.TRAIN, cases.QUERIES)
    kernels = _find(single, cases.TRAIN, cases.KERNELS)
    return [
        _times(
            f"one-pass at least {ONE_PASS_TIMES:g} times as fast as the reference "
            f"(target {ONE_PASS_TARGET:g})",
            one_pass,
            ONE_PASS_TIMES,
        ),
        _memory("one-pass: at most half of the reference's peak memory", one_pass, reference),
        _times(
            f"pruned crops at least {PRUNED_TIMES:g} times as fast as the reference, trained model",
            pruned,
            PRUNED_TIMES,
        ),
        _not_more("a training step takes no more time than ZS-MaskFormer's", kernels, queries, "s"),
        _not_more(
            "a training step takes no more memory than ZS-MaskFormer's", kernels, queries, "MB"
        ),
        _linear(curve(single, cases.PROPOSALS, cases.ONE_PASS)),
        _names(curve(single, cases.NAMES, cases.ONE_PASS)),
    ]


def curve(
    results: Sequence[Measurement], measure: str, variant: str
) -> list[tuple[float, Measurement]]:
    """The points of a growth curve, by rising value."""
    found = [r for r in results if r.measure == measure and r.variant == variant]
    return sorted(((r.settings[measure], r) for r in found), key=lambda point: point[0])


def slope(points: Sequence[tuple[float, Measurement]]) -> tuple[float, float, float]:
    """Least squares over ≥ 2 points: seconds at 0, seconds per unit, largest error as a share."""
    xs = np.array([x for x, _ in points], dtype=float)
    seconds = np.array([result.median_seconds for _, result in points])
    rise, start = np.polyfit(xs, seconds, 1)
    errors = np.abs(start + rise * xs - seconds) / seconds
    return float(start), float(rise), float(errors.max())


def _find(results: Sequence[Measurement], measure: str, variant: str) -> Measurement | None:
    """The first of its kind."""
    kind = (measure, variant)
    return next((r for r in results if (r.measure, r.variant) == kind), None)


def _times(wanted: str, result: Measurement | None, limit: float) -> Bar:
    if result is None or result.times_faster is None:
        return Bar(wanted, "-", None)
    return Bar(wanted, f"{result.times_faster:.1f} times", result.times_faster >= limit)


def _memory(wanted: str, result: Measurement | None, reference: Measurement | None) -> Bar:
    if result is None or reference is None:
        return Bar(wanted, "-", None)
    share = result.peak_mb / reference.peak_mb
    measured = f"{share:.2f} of it"
    if result.libraries_mb:
        own, other = (m.peak_mb - m.libraries_mb for m in (result, reference))
        measured += f" ({own / other:.2f} without the libraries of both)"
    return Bar(wanted, measured, share <= ONE_PASS_MEMORY)


def _not_more(wanted: str, ours: Measurement | None, other: Measurement | None, unit: str) -> Bar:
    if ours is None or other is None:
        return Bar(wanted, "-", None)
    if unit == "s":
        mine, limit, digits = ours.median_seconds, other.median_seconds, 2
    else:
        mine, limit, digits = ours.peak_mb, other.peak_mb, 0
    return Bar(wanted, f"{mine:.{digits}f} {unit} against {limit:.{digits}f} {unit}", mine <= limit)


def _linear(points: Sequence[tuple[float, Measurement]]) -> Bar:
    wanted = (
        f"one-pass time linear in the number of proposals (every point within {LINEAR_ERROR:.0%} "
        f"of a line), one more costs at most {SLOPE_PER_PROPOSAL:.1%} of the time at 100"
    )
    if len(points) < 3:
        return Bar(wanted, "-", None)
    start, rise, error = slope(points)
    share = rise / (start + 100 * rise)
    measured = f"within {error:.1%}, {share:.2%} for one more"
    return Bar(wanted, measured, error <= LINEAR_ERROR and share <= SLOPE_PER_PROPOSAL)


def _names(points: Sequence[tuple[float, Measurement]]) -> Bar:
    wanted = f"2,000 names cost less than {NAMES_GROWTH:.0%} more than 20, text cache warm"
    seconds = {value: result.median_seconds for value, result in points}
    if not {20, 2000} <= seconds.keys():
        return Bar(wanted, "-", None)
    growth = seconds[2000] / seconds[20] - 1
    return Bar(wanted, f"{growth:+.1%}", growth < NAMES_GROWTH)
