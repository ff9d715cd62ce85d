"""Cases run in turns; medians and ratios by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from speed_examples import measurement

from zsk.benchmark.speed_cases import Case, Point, Turns
from zsk.benchmark.speed_results import (
    PARTIAL_FILE,
    Partial,
    part_names,
    read_results,
    write_results,
)
from zsk.benchmark.speed_runs import Bench
from zsk.errors import UserError

A = Case("a", "inference", "a.yaml")
B = Case("b", "train", "b.yaml")
SECONDS = {"a": [4.0, 1.0, 3.0], "b": [0.5, 0.75, 1.0]}


class FakeProcess:
    """Answers from SECONDS; what it is asked goes to a journal shared by all.

    A case of the configuration "broken.yaml" cannot be built, one of "dies.yaml" not be run, of
    "uncountable.yaml" not be counted.
    """

    def __init__(self, journal: list[str]) -> None:
        self.journal = journal
        self.cases: dict[str, Case] = {}
        self.runs: Counter[str] = Counter()
        self.counted = 0
        self.closed = False

    def ask(self, line: str) -> dict:
        assert not self.closed
        command, _, rest = line.partition(" ")
        if command == "count":
            self.counted += 1
            assert not self.cases  # no process that is measured counts
            if Case.from_json(rest).config == "uncountable.yaml":
                raise UserError("count says no")
            return {"gflops": 10.0, "crop_gflops": 0.5}
        key, _, argument = rest.partition(" ")
        assert not self.counted
        if command == "build":
            self.cases[key] = Case.from_json(argument)
        case = self.cases[key]
        self.journal.append(f"{command} {case.variant}{case.names or ''}")
        if (command, case.config) in (("build", "broken.yaml"), ("run", "dies.yaml")):
            raise UserError(f"{command} says no")
        if command == "build":
            size = 3 if case.variant == "a" else 5
            return {"device": "d", "params": size, "model_mb": 4.0 * size, "libraries_mb": 1.0}
        seconds = SECONDS[case.variant][self.runs[key]]
        self.runs[key] += 1
        number = self.runs[key]
        parts = {"CLIP": seconds / 2}
        return {"seconds": seconds, "parts": parts, "crops": 2 * number, "peak_mb": 9 - number}

    def close(self) -> None:
        self.closed = True
        self.journal.append("close" if not self.counted else "end of counting")


@pytest.fixture
def journal() -> list[str]:
    return []


@pytest.fixture
def bench(journal):
    with Bench(lambda: FakeProcess(journal), "rev", "2026-11-23") as bench:
        yield bench


def silent(text: str) -> None:
    """Progress that nobody looks at."""


def turns(*points: Point) -> Turns:
    return Turns("group", points)


def once(case: Case, **changes) -> Case:
    return replace(case, repeats=1, **changes)


def test_medians_ratios_and_turns(bench, journal) -> None:
    point = Point("speed", {"photo": "big"}, (A, replace(B, half=True)), "a")
    ((first, second),), failures = bench.measure(turns(point), silent)
    assert journal == ["build a", "build b", *["run a", "run b"] * 3] and not failures
    assert (first.median_seconds, first.min_seconds, first.max_seconds) == (3.0, 1.0, 4.0)
    assert (first.ratio_to_reference, first.times_faster) == (1.0, 1.0)
    assert (second.ratio_to_reference, second.times_faster) == (0.25, 4.0)
    assert first.parts == {"CLIP": 1.5}  # of the run that took the median
    assert (first.crops, first.gflops) == (4.0, 12.0)  # the mean of 2, 4 and 6; 10 and 4 · 0.5
    assert (first.peak_mb, first.model_mb, second.params) == (8, 12.0, 5)
    assert first.libraries_mb == 1.0
    assert (first.measure, first.settings) == ("speed", {"photo": "big"})
    assert (second.half, first.runs) == (True, 3)
    assert (first.device, first.revision, first.date) == ("d", "rev", "2026-11-23")


def test_without_a_reference_there_is_no_ratio(bench) -> None:
    ((found,),), _ = bench.measure(turns(Point("speed", {}, (A,))), silent)
    assert found.ratio_to_reference is None and found.times_faster is None


def test_the_points_of_a_curve_take_turns_and_share_cases(bench, journal) -> None:
    """Two curves meet in one case, which is measured once; another one has fewer runs."""
    few = replace(A, names=7, repeats=2)
    curve = [Point("x", {"x": 1}, (A,)), Point("x", {"x": 2}, (few,)), Point("y", {"y": 1}, (A,))]
    listed, _ = bench.measure(turns(*curve), silent)
    assert journal == ["build a", "build a7", "run a", "run a7", "run a", "run a7", "run a"]
    assert [found[0].settings for found in listed] == [{"x": 1}, {"x": 2}, {"y": 1}]
    assert [found[0].median_seconds for found in listed] == [3.0, 2.5, 3.0]


def test_a_known_case_is_measured_again_only_where_it_is_compared(bench, journal) -> None:
    bench.remember(Point("table", {}, (A,)), [measurement("table", "a", 9.0)])
    (found,), _ = bench.measure(turns(Point("curve", {"x": 1}, (A,))), silent)
    assert (found[0].measure, found[0].settings, found[0].median_seconds) == ("curve", {"x": 1}, 9)
    assert journal == []
    (found,), _ = bench.measure(turns(Point("ratios", {}, (A,), "a")), silent)
    assert found[0].median_seconds == 3.0 and journal[0] == "build a"


def test_no_process_is_used_for_two_lists_of_turns(bench, journal) -> None:
    """What the first left in its heap would count as the second's memory."""
    for case in (once(A), once(A, names=7), once(B)):
        bench.measure(turns(Point("speed", {}, (case,))), silent)
    assert journal == [
        "build a",
        "run a",
        "close",
        "build a7",
        "run a7",
        "close",
        "build b",
        "run b",
    ]


def test_a_case_that_cannot_be_counted_fails_and_the_next_is_counted(bench, journal) -> None:
    bad = once(A, config="uncountable.yaml")
    points = [Point("x", {"x": 1}, (bad,)), Point("x", {"x": 2}, (once(B),))]
    listed, failures = bench.measure(turns(*points), silent)
    assert [len(found) for found in listed] == [0, 1] and "count says no" in failures[0].error
    assert journal == ["end of counting", "build b", "run b"]


@pytest.mark.parametrize("config, journal_of_it", [("broken.yaml", 1), ("dies.yaml", 2)])
def test_a_failing_case_loses_no_other(bench, journal, config, journal_of_it) -> None:
    """Its process is ended; what else that process held is built again in another one."""
    bad, good = once(A, config=config), once(A, names=7)
    points = [Point("x", {"x": 1}, (bad, B), "a"), Point("x", {"x": 2}, (good,))]
    listed, failures = bench.measure(turns(*points), silent)
    assert [[m.variant for m in found] for found in listed] == [["b"], ["a"]]
    assert listed[0][0].ratio_to_reference is None  # the reference is lost
    assert [(f.point, f.variant) for f in failures] == [("x 1", "a")]
    assert failures[0].sentence() == f"x 1, a failed: {failures[0].error}"
    assert "says no" in failures[0].error
    assert journal.count("close") == 1
    assert journal.count("build a7") == journal_of_it and journal.count("run a7") == 1


def test_a_case_survives_json() -> None:
    case = Case("a", "head", "c.yaml", ("X", "1"), photo=(3, 4), photos=("p.png",), half=True)
    assert Case.from_json(case.to_json()) == case


def test_results_survive_the_file(tmp_path) -> None:
    results = [measurement("m", "v", 1.0, parts={"CLIP": 0.5}), measurement("n", "w", 2.0)]
    write_results(results, tmp_path)
    assert read_results(tmp_path) == results


@pytest.mark.parametrize("content", ["{", "3", '[{"device": "x"}]'])
def test_a_damaged_file_is_a_sentence(tmp_path, content) -> None:
    (tmp_path / "speed.json").write_text(content)
    with pytest.raises(UserError, match="speed.json cannot be read"):
        read_results(tmp_path)


def test_what_is_left_of_the_model_comes_last() -> None:
    parts = {"post-processing": 1.0, "CLIP": 2.0}
    assert part_names([measurement("m", "v", 1.0, parts=parts)]) == ["CLIP", "post-processing"]


def test_a_stopped_run_goes_on(tmp_path) -> None:
    point, found = Point("speed", {}, (A,)), [measurement("speed", "a", 1.0)]
    Partial(tmp_path, "rev", "cpu").add(point.key(), found)
    again = Partial(tmp_path, "rev", "cpu")
    assert again.get(point.key()) == found
    assert again.get(replace(point, cases=(replace(A, repeats=9),)).key()) is None
    assert Partial(tmp_path, "other", "cpu").get(point.key()) is None
    assert Partial(tmp_path, "rev", "gpu").get(point.key()) is None
    again.remove()
    assert not list(tmp_path.iterdir())


def test_a_damaged_partial_file_is_no_run(tmp_path) -> None:
    (tmp_path / PARTIAL_FILE).write_text("[")
    assert Partial(tmp_path, "rev", "cpu").get("key") is None
