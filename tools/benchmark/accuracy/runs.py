"""Runs programs in processes of their own, several at a time; what is finished stays finished."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from zsk.evaluation.report import write_json

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
        kind: what it does.
        folder: where its log and FINISHED_FILE go.
        program, arguments: the Python file and its words.
        needs: folders of the jobs that have to finish first.
        elsewhere: its results lie outside of `folder`, where they may be gone: it runs every time
            that another job needs it.
    """

    name: str
    kind: Kind
    folder: Path
    program: Path
    arguments: tuple[str, ...]
    needs: tuple[Path, ...] = ()
    elsewhere: bool = False

    def finished(self) -> bool:
        return not self.elsewhere and (self.folder / FINISHED_FILE).is_file()

    def command(self) -> list[str]:
        """A training that was stopped goes on from its last checkpoint; a new one has none."""
        resume = ["--resume"] if self.kind == "train" else []
        return [sys.executable, str(self.program), *resume, *self.arguments]

    def start(self) -> subprocess.Popen[bytes]:
        """Start the program; its output goes to the log, behind that of an earlier start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / LOG_FILE, "ab") as log:
            return subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # runs share the machine, and the number of threads would change the last digits
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )


def run_jobs(jobs: Sequence[Job], workers: int) -> list[str]:
    """Run what is not finished yet, `workers` at a time, with a progress line on stderr.

    A job whose needs failed is left out. Stopped by Ctrl-C, it stops the running programs; the next
    call goes on with what they left.

    Args:
        jobs: each after those that it needs.
        workers: 1 or more.

    Returns:
        one message for each job that failed or was left out, with its log's path and last lines.
    """
    waiting = _to_run(jobs)
    failures: dict[Path, str] = {}
    running: dict[Path, tuple[Job, subprocess.Popen[bytes], float]] = {}
    every = 1 if sys.stderr.isatty() else 60  # seconds between two progress lines
    start = {"total": len(jobs), "initial": len(jobs) - len(waiting)}
    with tqdm(desc="runs", **start, miniters=0, mininterval=every, smoothing=0) as bar:
        try:
            while waiting or running:
                for job in list(waiting):
                    if failures.keys() & set(job.needs):
                        waiting.remove(job)
                        failures[job.folder] = f"{job.name}: left out, what it needs failed"
                        bar.update()
                pending = {job.folder for job in waiting} | running.keys()
                ready = [job for job in waiting if not pending & set(job.needs)]
                for job in ready[: workers - len(running)]:
                    waiting.remove(job)
                    running[job.folder] = job, job.start(), time.time()
                for job, process, started in list(running.values()):
                    if process.poll() is None:
                        continue
                    del running[job.folder]
                    if process.returncode:
                        failures[job.folder] = _failure(job, process.returncode)
                        bar.write(failures[job.folder], file=sys.stderr)
                    else:
                        write_json(job.folder / FINISHED_FILE, {"seconds": time.time() - started})
                    bar.update()
                bar.update(0)
                time.sleep(_POLL_SECONDS)
        finally:
            for _, process, _ in running.values():
                process.terminate()
                process.wait()
    return list(failures.values())


def _to_run(jobs: Sequence[Job]) -> list[Job]:
    """What is not finished; a job whose results lie elsewhere, where one of these needs it."""
    unfinished = [job for job in jobs if not job.finished()]
    needed = {folder for job in unfinished if not job.elsewhere for folder in job.needs}
    return [job for job in unfinished if not job.elsewhere or job.folder in needed]


def _failure(job: Job, code: int) -> str:
    log = job.folder / LOG_FILE
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    last = "\n".join("    " + line for line in lines[-_LAST_LINES:])
    return f"{job.name}: failed with exit code {code}, see {log}, which ends:\n{last}"
