"""A process that builds cases and runs them when it is told.

It reads lines from standard input and answers each with a line of JSON on standard output: "build
KEY CASE", "run KEY", "count CASE". It ends with its input. Processes that are told in turns share a
busy machine's ups and downs, and none's memory counts for another.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from typing import Any

import torch

import zsk  # noqa: F401  (first: it makes Detectron2 importable)
from zsk.errors import UserError

from .speed_cases import Case
from .speed_device import (
    device_name,
    megabytes,
    peak_mb,
    peak_mb_without_holes,
    reset_peak,
    resident_mb,
)
from .speed_shared import SharedParts
from .speed_subjects import Subject, build_subject


class Worker:
    """Holds cases, mostly one; the points of a curve, which share backbone and CLIP, are many."""

    def __init__(self) -> None:
        self.libraries_mb = resident_mb()
        self.subjects: dict[str, Subject] = {}
        self.peaks: dict[str, float] = {}  # of those whose memory is not that of their runs
        self.shared = SharedParts()

    def reply(self, line: str) -> dict[str, Any]:
        """What one line asks for, or {"error": a sentence}; a defect's traceback is printed."""
        command, _, rest = line.strip().partition(" ")
        key, _, argument = rest.partition(" ")
        try:
            if command == "build":
                return self.build(key, Case.from_json(argument))
            if command == "count":
                return self.count(Case.from_json(rest))
            assert command == "run", command
            return self.run(key)
        except UserError as error:
            return {"error": str(error)}
        except Exception as error:  # a GPU has many ways to fail; the other cases go on
            traceback.print_exc()
            reason = " ".join(str(error).split())[:200]
            return {"error": f"{type(error).__name__}: {reason}"}

    def build(self, key: str, case: Case) -> dict[str, Any]:
        """The model's size, and the device. Afterwards the case is warm."""
        subject = build_subject(case, self.shared)
        weights = subject.parameters()
        if case.kind == "train" and not torch.cuda.is_available():
            self.peaks[key] = peak_mb_without_holes(subject.step)
            subject.step()  # malloc is set back: a step that is timed finds the heap grown
        else:
            subject.warm_up()
        self.subjects[key] = subject
        return {
            "device": device_name(),
            "params": sum(p.numel() for p in weights),
            "model_mb": megabytes(weights),
            "libraries_mb": self.libraries_mb,
        }

    def count(self, case: Case) -> dict[str, Any]:
        """A case's arithmetic. Its libraries and its memory are none that a measurement needs."""
        from . import speed_flops

        subject = build_subject(case, self.shared)
        try:
            return speed_flops.gigaflops(subject)._asdict()
        finally:
            subject.scope.close()
            del subject
            self.shared.forget_models()
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()  # those who are measured want it

    def run(self, key: str) -> dict[str, Any]:
        """One run's seconds, parts, crops and memory, less the weights of other cases only."""
        subject = self.subjects[key]
        held = {id(p): p for other in self.subjects.values() for p in other.parameters()}
        others = megabytes(held.values()) - megabytes(subject.parameters())
        gc.collect()
        reset_peak()
        found = subject.run()
        return {**found, "peak_mb": self.peaks.get(key, peak_mb() - others)}

    def close(self) -> None:
        """Forget all cases and what they share."""
        for subject in self.subjects.values():
            subject.scope.close()
        self.subjects, self.peaks = {}, {}
        self.shared.clear()
        gc.collect()


def main() -> None:
    # libraries print: only answers may reach the pipe
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    worker = Worker()
    for line in sys.stdin:
        answers.write(json.dumps(worker.reply(line)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
