"""A process that builds cases and runs them when it is told: one variant has it for itself.

It reads lines from standard input and answers each with a line of JSON on standard output:
"build CASE", "run", "flops CROPS". It ends with its input. Two variants' processes that are told in
turns share a busy machine's ups and downs, and neither's memory counts for the other.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import Any

import zsk  # noqa: F401  (first: it makes Detectron2 importable)
from zsk.errors import UserError

from .speed_cases import Case
from .speed_device import device_name, megabytes, peak_mb, reset_peak
from .speed_flops import gigaflops
from .speed_subjects import Subject, build_subject


class Worker:
    """Holds at most one case."""

    def __init__(self) -> None:
        self.subject: Subject | None = None

    def answer(self, line: str) -> dict[str, Any]:
        """What one line asks for."""
        command, _, argument = line.strip().partition(" ")
        if command == "build":
            return self.build(Case.from_json(argument))
        assert self.subject is not None, "build comes first"
        if command == "run":
            return {**self.subject.run(), "peak_mb": peak_mb()}
        assert command == "flops", command
        return {"gflops": gigaflops(self.subject, float(argument))}

    def build(self, case: Case) -> dict[str, Any]:
        """The model's size, and the device."""
        if self.subject is not None:
            self.subject.scope.close()
            self.subject = None
            gc.collect()
        self.subject = build_subject(case)
        weights = self.subject.parameters()
        reset_peak()
        return {
            "device": device_name(),
            "params": sum(p.numel() for p in weights),
            "model_mb": megabytes(weights),
        }


class LocalProcess:
    """A worker in this process instead: at once there, but its memory is everybody's."""

    def __init__(self) -> None:
        self.worker = Worker()

    def ask(self, line: str) -> dict[str, Any]:
        """One command's answer, as `WorkerProcess` gives it."""
        return self.worker.answer(line)

    def close(self) -> None:
        """Nothing to end."""


def main() -> None:
    # libraries print: only answers may reach the pipe
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    worker = Worker()
    for line in sys.stdin:
        try:
            answer = worker.answer(line)
        except UserError as error:
            answer = {"error": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
