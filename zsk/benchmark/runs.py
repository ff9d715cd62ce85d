"""Runs programs in processes of their own, several at a time; what is finished stays finished."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from tqdm import tqdm

from zsk.evaluation.report import write_atomically

Kind = Literal["prepare", "train", "evaluate"]

LOG_FILE = "benchmark.log"
FINISHED_FILE = "finished.json"
_LAST_LINES = 5
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Job:
    """One program run; `folder` is its own and identifies it.

    Attributes:
        name: for messages.
        kind: what it does, jobs of one kind take about the same time.
        folder: where its log and FINISHED_FILE go.
        program, arguments: the Python file and its words.
        needs: folders of the jobs that have to finish first.
    """

    name: str
    kind: Kind
    folder: Path
    program: Path
    arguments: tuple[str, ...]
    needs: tuple[Path, ...] = ()

    def finished(self) -> bool:
        return (self.folder / FINISHED_FILE).is_file()

    def command(self) -> list[str]:
        """A training that was stopped goes on from its last checkpoint."""
        stopped = self.kind == "train" and (self.folder / "last_checkpoint").is_file()
        resume = ["--resume"] if stopped else []
        return [sys.executable, str(self.program), *resume, *self.arguments]


class _Running:
    """A started job: its process, writing to the job's log."""

    def __init__(self, job: Job) -> None:
        self.job = job
        job.folder.mkdir(parents=True, exist_ok=True)
        self._log: IO[bytes] = open(job.folder / LOG_FILE, "ab")  # a resumed one goes on
        self.start = time.perf_counter()
        self.process = subprocess.Popen(
            job.command(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            # several runs share the machine, and a number of threads would change the last digits
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def close(self) -> None:
        """Stop the process if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
        self._log.close()


def run_jobs(jobs: Sequence[Job], workers: int) -> list[str]:
    """Run what is not finished yet, `workers` at a time, with a progress line on stderr.

    A job whose needs failed is not run. Stopped by Ctrl-C, it stops the running programs; the next
    call goes on with what they left.

    Args:
        jobs: each after those that it needs.
        workers: 1 or more.

    Returns:
        one message for each job that failed or was left out, with its log's path and last lines.
    """
    waiting = [job for job in jobs if not job.finished()]
    durations = _earlier_durations(jobs)
    failures: dict[Path, str] = {}
    running: list[_Running] = []
    with tqdm(
        total=len(jobs),
        initial=len(jobs) - len(waiting),
        desc="runs",
        bar_format="{desc} {n_fmt}/{total_fmt}, {elapsed} so far{postfix}",
        miniters=0,  # the time left changes without any run that ends
        mininterval=1 if sys.stderr.isatty() else 60,
    ) as bar:
        try:
            while waiting or running:
                for job in [job for job in waiting if failures.keys() & set(job.needs)]:
                    waiting.remove(job)
                    failures[job.folder] = f"{job.name}: left out, what it needs failed"
                    bar.update()
                ready = [job for job in waiting if not _unfinished(job, waiting, running)]
                for job in ready[: workers - len(running)]:
                    waiting.remove(job)
                    running.append(_Running(job))
                for done in [r for r in running if r.process.poll() is not None]:
                    running.remove(done)
                    failure = _finish(done, durations)
                    if failure:
                        failures[done.job.folder] = failure
                        bar.write(failure, file=sys.stderr)
                    bar.update()
                elapsed = [(r.job.kind, time.perf_counter() - r.start) for r in running]
                left = remaining_seconds(durations, [j.kind for j in waiting], elapsed, workers)
                bar.set_postfix_str(f"about {_minutes(left)} left", refresh=False)
                bar.update(0)
                time.sleep(_POLL_SECONDS)
        finally:
            for unfinished in running:
                unfinished.close()
    return list(failures.values())


def remaining_seconds(
    durations: Mapping[str, Sequence[float]],
    waiting: Sequence[str],
    running: Sequence[tuple[str, float]],
    workers: int,
) -> float | None:
    """How long the rest takes, judged by what was finished; None where nothing was.

    Args:
        durations: kind → seconds of finished jobs. A kind without any counts as the mean of all.
        waiting: kinds of the jobs that wait.
        running: kinds and seconds so far of those that run.
        workers: how many run at a time.
    """
    everything = [seconds for listed in durations.values() for seconds in listed]
    if not everything:
        return None

    def expected(kind: str) -> float:
        listed = durations.get(kind) or everything
        return sum(listed) / len(listed)

    rest = [max(0.0, expected(kind) - seconds) for kind, seconds in running]
    total = sum(rest) + sum(expected(kind) for kind in waiting)
    return max([total / workers, *rest])


def _unfinished(job: Job, waiting: Sequence[Job], running: Sequence[_Running]) -> bool:
    """Whether something that the job needs is still to come."""
    pending = {other.folder for other in waiting} | {other.job.folder for other in running}
    return bool(pending & set(job.needs))


def _finish(done: _Running, durations: dict[str, list[float]]) -> str | None:
    """Note the end of a process; a message if it failed."""
    seconds = time.perf_counter() - done.start
    done.close()
    job, code = done.job, done.process.returncode
    if code:
        log = job.folder / LOG_FILE
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        last = "\n".join("    " + line for line in lines[-_LAST_LINES:])
        return f"{job.name}: failed with exit code {code}, see {log}, which ends:\n{last}"
    durations.setdefault(job.kind, []).append(seconds)
    note = json.dumps({"kind": job.kind, "seconds": seconds}) + "\n"
    write_atomically(job.folder / FINISHED_FILE, note.encode())
    return None


def _earlier_durations(jobs: Sequence[Job]) -> dict[str, list[float]]:
    durations: dict[str, list[float]] = {}
    for job in jobs:
        if job.finished():
            note: dict[str, Any] = json.loads((job.folder / FINISHED_FILE).read_text())
            durations.setdefault(job.kind, []).append(note["seconds"])
    return durations


def _minutes(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown time"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
