"""Cases run in turns; medians and ratios by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from speed_examples import measurement

from zsk.benchmark.speed_cases import Case, Point
from zsk.benchmark.speed_results import (
    PARTIAL_FILE,
    Partial,
    part_names,
    read_results,
    write_results,
)
from zsk.benchmark.speed_runs import Bench
from zsk.errors import UserError

A, B = Case("a", "inference", "a.yaml"), Case("b", "train", "b.yaml")
SECONDS = {"a": [4.0, 1.0, 3.0], "b": [0.5, 0.75, 1.0]}


class FakeProcess:
    """Answers from SECONDS; what it is asked goes to a journal shared by all."""

    def __init__(self, journal: list[str]) -> None:
        self.journal = journal
        self.case = A
        self.runs = 0

    def ask(self, line: str) -> dict:
        command, _, argument = line.partition(" ")
        if command == "build":
            self.case, self.runs = Case.from_json(argument), 0
            size = 3 if self.case.variant == "a" else 5
            answer: dict = {"device": "d", "params": size, "model_mb": 4.0 * size}
        elif command == "run":
            seconds = SECONDS[self.case.variant][self.runs]
            self.runs += 1
            parts = {"CLIP": seconds / 2}
            answer = {
                "seconds": seconds, "parts": parts, "crops": 2 * self.runs, "peak_mb": 9 - self.runs
            }  # fmt: skip
        else:
            answer = {"gflops": float(argument)}
        self.journal.append(f"{command} {self.case.variant}")
        return answer

    def close(self) -> None:
        self.journal.append(f"close {self.case.variant}")


@pytest.fixture
def journal() -> list[str]:
    return []


@pytest.fixture
def bench(journal):
    with Bench(lambda: FakeProcess(journal), "rev", "2026-11-23") as bench:
        yield bench


def test_medians_ratios_and_turns(bench, journal) -> None:
    point = Point("speed", {"photo": "big"}, (A, replace(B, half=True)), "a", repeats=3)
    first, second = bench.measure(point, lambda text: None)
    runs = [entry for entry in journal if entry.startswith("run")]
    assert runs == ["run a", "run b"] * 3
    assert (first.median_seconds, first.min_seconds, first.max_seconds) == (3.0, 1.0, 4.0)
    assert (first.ratio_to_reference, first.times_faster) == (1.0, 1.0)
    assert (second.ratio_to_reference, second.times_faster) == (0.25, 4.0)
    assert first.parts == {"CLIP": 1.5}  # of the run that took the median
    assert (first.crops, first.gflops) == (4.0, 4.0)  # the mean of 2, 4 and 6, passed on
    assert (first.peak_mb, first.model_mb, second.params) == (8, 12.0, 5)
    assert (first.settings, second.half, first.runs) == ({"photo": "big"}, True, 3)
    assert (first.device, first.revision, first.date) == ("d", "rev", "2026-11-23")


def test_without_a_reference_there_is_no_ratio(bench) -> None:
    (found,) = bench.measure(Point("speed", {}, (A,), repeats=1), lambda text: None)
    assert found.ratio_to_reference is None and found.times_faster is None


def test_processes_are_shared_as_long_as_a_variant_stays(bench, journal) -> None:
    c = replace(A, variant="a", names=7)
    for cases in ((A, B), (c,), (B,), (replace(B, variant="b", kind="head"),)):
        bench.measure(Point("speed", {}, cases, repeats=1), lambda text: None)
    assert not [entry for entry in journal if entry.startswith("close")]
    SECONDS["new"] = [1.0]
    bench.measure(Point("speed", {}, (replace(A, variant="new"),), repeats=1), lambda text: None)
    assert sorted(e for e in journal if e.startswith("close")) == ["close a", "close b"]


def test_a_case_survives_json() -> None:
    case = Case("a", "head", "c.yaml", ("X", "1"), True, True, (3, 4), ("p.png",), 5, False, True)
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
    assert again.get(replace(point, repeats=9).key()) is None
    assert Partial(tmp_path, "other", "cpu").get(point.key()) is None
    assert Partial(tmp_path, "rev", "gpu").get(point.key()) is None
    again.remove()
    assert not list(tmp_path.iterdir())


def test_a_damaged_partial_file_is_no_run(tmp_path) -> None:
    (tmp_path / PARTIAL_FILE).write_text("[")
    assert Partial(tmp_path, "rev", "cpu").get("key") is None
