"""The other end of `speed_worker`: a process of its own, or this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from zsk.errors import UserError

from .speed_cases import ROOT
from .speed_worker import Worker


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
        if not reply.endswith("\n"):  # nothing, or cut short
            code = self.process.wait()
            hint = ": it was killed, mostly for want of memory" if code == -9 else ""
            raise UserError(f"a measuring process ended with {code}{hint}; see {self.log}")
        return _checked(json.loads(reply))

    def close(self) -> None:
        """End it; a process that hangs is killed."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # it ended before it had read everything
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class LocalProcess:
    """A worker in this process instead: at once there, but its memory is everybody's."""

    def __init__(self) -> None:
        self.worker = Worker()

    def ask(self, line: str) -> dict[str, Any]:
        """One command's answer, as `WorkerProcess` gives it."""
        return _checked(self.worker.reply(line))

    def close(self) -> None:
        self.worker.close()


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise UserError(answer["error"])
    return answer
