"""Measures points: a process per variant, told to run in turns."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from zsk.errors import UserError

from .speed_cases import ROOT, Point
from .speed_results import Measurement

Progress = Callable[[str], None]


class Process(Protocol):
    """What builds and runs cases, see `WorkerProcess`."""

    def ask(self, line: str) -> dict[str, Any]: ...

    def close(self) -> None: ...


class WorkerProcess:
    """`zsk.benchmark.speed_worker` in a process of its own.

    Args:
        log: where its standard error goes.
        cache: folder of text embeddings.
    """

    def __init__(self, log: Path, cache: Path) -> None:
        self.log = log
        path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH")) if p)
        with log.open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "zsk.benchmark.speed_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "PYTHONPATH": path, "ZSK_CACHE_DIR": str(cache)},
            )

    def ask(self, line: str) -> dict[str, Any]:
        """One command's answer. Raises UserError with what went wrong there."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            reply = self.process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            code = self.process.wait()
            hint = ": it was killed, mostly for want of memory" if code == -9 else ""
            raise UserError(f"a measuring process ended with {code}{hint}; see {self.log}")
        answer = json.loads(reply)
        if "error" in answer:
            raise UserError(answer["error"])
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Bench:
    """Measures one point after the other; leave it (`with`) to end its processes.

    A variant keeps its process until a point comes that has none of the variants before it.
    """

    def __init__(self, start: Callable[[], Process], revision: str, date: str) -> None:
        self.start = start
        self.revision = revision
        self.date = date
        self._processes: dict[str, Process] = {}

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def measure(self, point: Point, progress: Progress) -> list[Measurement]:
        """All of its cases, each as often as it says, in turns: A B A B."""
        if not self._processes.keys() & {case.variant for case in point.cases}:
            self._end()
        built = {}
        for case in point.cases:
            progress(f"{_name(point)}: building {case.variant}")
            process = self._processes.get(case.variant) or self.start()
            self._processes[case.variant] = process
            built[case.variant] = process.ask(f"build {case.to_json()}")
        runs: dict[str, list[dict[str, Any]]] = {case.variant: [] for case in point.cases}
        for number in range(point.repeats):
            for variant, listed in runs.items():
                progress(f"{_name(point)}: {variant}, run {number + 1} of {point.repeats}")
                listed.append(self._processes[variant].ask("run"))
        flops = {}
        for variant, listed in runs.items():
            progress(f"{_name(point)}: counting operations of {variant}")
            crops = statistics.fmean(run["crops"] for run in listed)
            flops[variant] = self._processes[variant].ask(f"flops {crops}")
        return self._summarise(point, built, runs, flops)

    def _summarise(
        self,
        point: Point,
        built: Mapping[str, Any],
        runs: Mapping[str, list[dict[str, Any]]],
        flops: Mapping[str, Any],
    ) -> list[Measurement]:
        medians = {v: statistics.median(r["seconds"] for r in listed) for v, listed in runs.items()}
        reference = medians.get(point.reference or "")
        found = []
        for case in point.cases:
            listed = sorted(runs[case.variant], key=lambda run: run["seconds"])
            median = medians[case.variant]
            found.append(
                Measurement(
                    device=built[case.variant]["device"],
                    measure=point.measure,
                    variant=case.variant,
                    settings=point.settings,
                    median_seconds=median,
                    min_seconds=listed[0]["seconds"],
                    max_seconds=listed[-1]["seconds"],
                    ratio_to_reference=median / reference if reference else None,
                    peak_mb=max(run["peak_mb"] for run in listed),
                    gflops=flops[case.variant]["gflops"],
                    revision=self.revision,
                    date=self.date,
                    runs=len(listed),
                    half=case.half,
                    params=built[case.variant]["params"],
                    model_mb=built[case.variant]["model_mb"],
                    crops=statistics.fmean(run["crops"] for run in listed),
                    parts=listed[len(listed) // 2]["parts"],
                )
            )
        return found

    def _end(self) -> None:
        for process in self._processes.values():
            process.close()
        self._processes = {}


def _name(point: Point) -> str:
    """For the progress line."""
    values = " ".join(str(value) for value in point.settings.values())
    return f"{point.measure} {values}".rstrip()
