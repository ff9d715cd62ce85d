"""What the package logs, as plain lines of a command: which weights were read, and warnings."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from zsk.terminal import say


@contextmanager
def said_logs() -> Iterator[None]:
    """Print what the package logs in the block: information on stdout, warnings on stderr.

    Pillow's warnings about parts of damaged files are left out: the photo is read, or refused with
    a line.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    log, handler = logging.getLogger("zsk"), _SaidLogs()
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


class _SaidLogs(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        # of each call; a command says once which words count as trained classes
        self.addFilter(lambda record: record.name != "zsk.segmenter")

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage(), error=record.levelno >= logging.WARNING)
