"""Passed and missed follow from the numbers."""

from dataclasses import replace

import pytest
from speed_examples import measurement

from zsk.benchmark import speed_cases as cases
from zsk.benchmark.speed_bars import curve, judge, slope


def verdicts(*results) -> list[str]:
    return [bar.verdict for bar in judge(results)]


def inference(seconds: float, peak: float = 400.0):
    """One-pass beside a reference of 30 s and 1000 MB."""
    return (
        measurement(cases.INFERENCE, cases.REFERENCE, 30.0, ratio_to_reference=1.0),
        measurement(
            cases.INFERENCE,
            cases.ONE_PASS,
            seconds,
            peak_mb=peak,
            ratio_to_reference=seconds / 30,
        ),
    )


def training(seconds: float, peak: float):
    """Our step beside one of 4 s and 1000 MB."""
    return (
        measurement(cases.TRAIN, cases.QUERIES, 4.0),
        measurement(cases.TRAIN, cases.KERNELS, seconds, peak_mb=peak),
    )


def growth(measure: str, seconds: dict[int, float]):
    return [
        measurement(measure, cases.ONE_PASS, s, settings={measure: x}) for x, s in seconds.items()
    ]


def test_nothing_measured() -> None:
    assert verdicts() == ["not measured"] * 7


@pytest.mark.parametrize("seconds, verdict", [(2.0, "passed"), (2.01, "missed")])
def test_one_pass_has_to_be_15_times_as_fast(seconds, verdict) -> None:
    bar = judge(inference(seconds))[0]
    assert bar.verdict == verdict
    assert bar.measured == f"{30 / seconds:.1f} times"


@pytest.mark.parametrize("peak, verdict", [(500.0, "passed"), (501.0, "missed")])
def test_one_pass_has_to_take_half_of_the_memory(peak, verdict) -> None:
    assert judge(inference(1.0, peak))[1].verdict == verdict


def test_memory_without_the_libraries_is_told_and_does_not_count() -> None:
    results = [replace(result, libraries_mb=200.0) for result in inference(1.0, 520.0)]
    bar = judge(results)[1]
    assert bar.measured == "0.52 of it (0.40 without the libraries of both)"
    assert bar.verdict == "missed"


@pytest.mark.parametrize("ratio, verdict", [(1 / 3, "passed"), (0.34, "missed")])
def test_pruning_counts_on_a_trained_model_only(ratio, verdict) -> None:
    def pruned(measure):
        return measurement(measure, cases.PRUNED, 1.0, ratio_to_reference=ratio)

    assert judge([pruned(cases.TRAINED)])[2].verdict == verdict
    assert judge([pruned(cases.INFERENCE)])[2].verdict == "not measured"


def test_a_training_step_by_time_and_by_memory() -> None:
    assert verdicts(*training(4.0, 1000.0))[3:5] == ["passed", "passed"]
    assert verdicts(*training(4.1, 999.0))[3:5] == ["missed", "passed"]
    assert verdicts(*training(3.0, 1001.0))[3:5] == ["passed", "missed"]
    assert judge(training(3.0, 1001.0))[3].measured == "3.00 s against 4.00 s"


def test_proposals_have_to_lie_on_a_flat_line() -> None:
    """1 s + 1 ms each: 0.09 % of the 1.1 s at 100. Then one that is off, then a steep one."""
    line = {25: 1.025, 100: 1.1, 400: 1.4}
    assert verdicts(*growth(cases.PROPOSALS, line))[5] == "passed"
    assert judge(growth(cases.PROPOSALS, line))[5].measured == "within 0.0%, 0.09% for one more"
    assert verdicts(*growth(cases.PROPOSALS, {25: 1.0, 100: 2.0, 400: 1.4}))[5] == "missed"
    assert verdicts(*growth(cases.PROPOSALS, {25: 0.25, 100: 1.0, 400: 4.0}))[5] == "missed"
    assert verdicts(*growth(cases.PROPOSALS, {25: 1.0, 100: 1.0}))[5] == "not measured"


@pytest.mark.parametrize("seconds, verdict", [(1.09, "passed"), (1.1, "missed")])
def test_many_names_may_cost_a_tenth(seconds, verdict) -> None:
    bar = judge(growth(cases.NAMES, {20: 1.0, 500: 9.0, 2000: seconds}))[6]
    assert bar.verdict == verdict


def test_half_precision_does_not_pass_for_single() -> None:
    reference, one_pass = inference(1.0)
    half = measurement(cases.INFERENCE, cases.ONE_PASS, 1.0, half=True, ratio_to_reference=0.01)
    assert verdicts(reference, half)[0] == "not measured"


def test_a_curve_is_sorted_and_a_line_is_fitted() -> None:
    """2 s + 0.5 s each, exactly; then three points that lie on no line."""
    points = curve(growth("names", {4: 4.0, 2: 3.0}), "names", cases.ONE_PASS)
    assert [x for x, _ in points] == [2, 4]
    assert slope(points) == pytest.approx((2.0, 0.5, 0.0), abs=1e-12)
    # 1, 1, 4 at 0, 1, 2: the line is 0.5 + 1.5 x, off by 0.5, 1 and 0.5
    uneven = curve(growth("names", {0: 1.0, 1: 1.0, 2: 4.0}), "names", cases.ONE_PASS)
    assert slope(uneven) == pytest.approx((0.5, 1.5, 1.0))
