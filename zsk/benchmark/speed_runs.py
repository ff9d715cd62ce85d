"""Measures cases in turns, told to the processes that hold them; one that fails is left out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from zsk.errors import UserError

from .speed_cases import Case, Point, Turns
from .speed_results import Measurement

Progress = Callable[[str], None]


class Process(Protocol):
    """What builds and runs cases, see `speed_worker`."""

    def ask(self, line: str) -> dict[str, Any]: ...

    def close(self) -> None: ...


class Failure(NamedTuple):
    """A case that could not be measured, and why."""

    point: str
    variant: str
    error: str

    def sentence(self) -> str:
        """For a log."""
        return f"{self.point}, {self.variant} failed: {self.error}"


@dataclass
class _Tally:
    """What is known of a case under way; `error` ends it."""

    key: str
    built: dict[str, Any] = field(default_factory=dict)
    counted: dict[str, Any] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""


class Bench:
    """Measures one list of turns after the other; leave it (`with`) to end its processes.

    In each list a variant has a process for itself, a new one: what earlier models left behind in
    a heap would count as a later one's memory. One more counts everybody's arithmetic.

    Args:
        start: starts a process.
        revision, date: of the measurements.
    """

    def __init__(self, start: Callable[[], Process], revision: str, date: str) -> None:
        self.start = start
        self.revision = revision
        self.date = date
        self._processes: dict[str, Process] = {}
        self._held: dict[str, set[str]] = {}  # by variant, the keys of what its process has built
        self._known: dict[Case, Measurement] = {}
        self._counter: Process | None = None

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for variant in list(self._processes):
            self._end(variant)
        self._end_counter()

    def remember(self, point: Point, found: Sequence[Measurement]) -> None:
        """A finished point's cases need no other runs where nothing is compared in turns."""
        by_variant = {measurement.variant: measurement for measurement in found}
        for case in point.cases:
            if case.variant in by_variant:
                self._known[case] = by_variant[case.variant]

    def measure(
        self, turns: Turns, progress: Progress
    ) -> tuple[list[list[Measurement]], list[Failure]]:
        """For each point its measurements, A B A B; those of cases that fail are not among them."""
        compared = {c for point in turns.points if point.reference for c in point.cases}
        todo = [c for c in turns.cases() if c in compared or c not in self._known]
        tallies = {case: _Tally(str(number)) for number, case in enumerate(todo)}
        self._start_processes({case.variant for case in todo})
        for case, tally in tallies.items():
            progress(f"{turns.group}: building {_name(turns, case)}")
            self._count(case, tally)
            if not tally.error:
                self._attempt(self._ready, case, tally)
        for number in range(max((case.repeats for case in todo), default=0)):
            for case, tally in tallies.items():
                if number < case.repeats and not tally.error:
                    progress(
                        f"{turns.group}: {_name(turns, case)}, run {number + 1} of {case.repeats}"
                    )
                    self._attempt(self._run, case, tally)
        found = {
            case: self._summary(case, tally) for case, tally in tallies.items() if not tally.error
        }
        failures = [
            Failure(str(point), case.variant, tallies[case].error)
            for point in turns.points
            for case in point.cases
            if case in tallies and tallies[case].error
        ]
        listed = []
        for point in turns.points:
            listed.append(_at(point, {**self._known, **found}))
            self.remember(point, listed[-1])
        return listed, failures

    def _start_processes(self, variants: set[str]) -> None:
        """One for each variant, after the last list's have ended; they load side by side."""
        for variant in list(self._processes):
            self._end(variant)
        self._held = {variant: set() for variant in variants}
        for variant in sorted(variants):
            self._processes[variant] = self.start()

    def _attempt(self, do: Callable[[Case, _Tally], None], case: Case, tally: _Tally) -> None:
        try:
            do(case, tally)
        except UserError as error:
            tally.error = str(error)
            # what a process is worth after that, nobody knows: the variant gets a new one
            self._end(case.variant)

    def _count(self, case: Case, tally: _Tally) -> None:
        if self._counter is None:
            self._counter = self.start()
        try:
            tally.counted = self._counter.ask(f"count {case.to_json()}")
        except UserError as error:
            tally.error = str(error)
            self._end_counter()

    def _end_counter(self) -> None:
        if self._counter is not None:
            self._counter.close()
            self._counter = None

    def _ready(self, case: Case, tally: _Tally) -> None:
        """The case is in its process, which may have ended for another case's fault."""
        if case.variant not in self._processes:
            self._processes[case.variant] = self.start()
            self._held[case.variant] = set()
        if tally.key not in self._held[case.variant]:
            line = f"build {tally.key} {case.to_json()}"
            tally.built = self._processes[case.variant].ask(line)
            self._held[case.variant].add(tally.key)

    def _run(self, case: Case, tally: _Tally) -> None:
        self._ready(case, tally)
        tally.runs.append(self._processes[case.variant].ask(f"run {tally.key}"))

    def _summary(self, case: Case, tally: _Tally) -> Measurement:
        """Without a place in a table yet."""
        listed = sorted(tally.runs, key=lambda run: run["seconds"])
        crops = statistics.fmean(run["crops"] for run in listed)
        return Measurement(
            device=tally.built["device"],
            measure="",
            variant=case.variant,
            settings={},
            median_seconds=statistics.median(run["seconds"] for run in listed),
            min_seconds=listed[0]["seconds"],
            max_seconds=listed[-1]["seconds"],
            ratio_to_reference=None,
            peak_mb=max(run["peak_mb"] for run in listed),
            libraries_mb=tally.built["libraries_mb"],
            gflops=tally.counted["gflops"] + crops * tally.counted["crop_gflops"],
            revision=self.revision,
            date=self.date,
            runs=len(listed),
            half=case.half,
            params=tally.built["params"],
            model_mb=tally.built["model_mb"],
            crops=crops,
            parts=listed[len(listed) // 2]["parts"],
        )

    def _end(self, variant: str) -> None:
        process = self._processes.pop(variant, None)
        if process is not None:
            process.close()


def _at(point: Point, found: Mapping[Case, Measurement]) -> list[Measurement]:
    """The point's measurements, with the ratios to its reference."""
    listed = [(case, found[case]) for case in point.cases if case in found]
    references = [m.median_seconds for case, m in listed if case.variant == point.reference]
    return [
        replace(
            measurement,
            measure=point.measure,
            settings=point.settings,
            ratio_to_reference=measurement.median_seconds / references[0] if references else None,
        )
        for _, measurement in listed
    ]


def _name(turns: Turns, case: Case) -> str:
    """For the progress line: the first point that has the case, and the variant."""
    point = next(point for point in turns.points if case in point.cases)
    return f"{point}, {case.variant}"
