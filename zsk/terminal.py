"""Printing to outputs that may be closed, full or unable to show a character."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def say(line: str, error: bool = False) -> None:
    """Print one line at once; a closed or full output is no reason to stop, and is said once.

    For programs whose results are files, with `error` on stderr. Line breaks and terminal codes, as
    files' names may hold them, are printed as escapes.
    """
    stream = sys.stderr if error else sys.stdout
    try:
        print(printable(line), file=stream, flush=True)
    except OSError as problem:
        _drop(stream)
        if not error:
            say(f"note: the output is lost ({problem.strerror}), the run goes on", error=True)


def printable(line: str) -> str:
    """The line with escapes in place of line breaks, control characters and surrogates."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def drop_broken(probe: str = "") -> bool:
    """Whether stdout or stderr takes no output any more; what is printed there from now on is lost.

    Without a buffer only a further write tells, of `probe`.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # None: closed before Python started
                print(end=probe, file=stream, flush=True)
        except OSError:
            _drop(stream)
            return True
    return False


def _drop(stream: TextIO) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
