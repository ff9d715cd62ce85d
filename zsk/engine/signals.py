"""SIGTERM and Ctrl-C during training: a checkpoint comes first."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # exit codes as a shell reports them: 128 and the number
SAME_SIGNAL = 1.0
"""Seconds in which a further signal counts as the first: launchers pass on what a terminal sent."""


class Stopped(SystemExit):
    """A signal asked this process to end; carries its exit code."""

    def __init__(self, number: int):
        super().__init__(128 + number)
        self.signal_name = signal.Signals(number).name


class StopSignals:
    """While it is entered, a signal is remembered in `number`; a second one ends the process.

    Within `at_once` the first signal raises `Stopped` instead.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._at_once = False
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup's wish
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """For work that can be left at any point."""
        self._at_once = True
        try:
            if self.number is not None:
                raise Stopped(self.number)
            yield
        finally:
            self._at_once = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            if time.monotonic() - self._since > SAME_SIGNAL:
                os._exit(128 + number)
            return
        self.number, self._since = number, time.monotonic()
        if self._at_once:
            raise Stopped(number)


def outlive_stop_signals(worker: int = 0) -> None:
    """For a loader's worker: it ends with its process, which may need it until a checkpoint.

    Ctrl-C, and a scheduler's SIGTERM to every process, leave it alone; its own process's ends it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # Linux
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
