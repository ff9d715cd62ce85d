"""Mistakes and circumstances that a user can mend, and how a command line reports them.

`run_cli` is in charge of Ctrl-C and SIGTERM while `main` runs, which may install handlers of its
own (training saves a checkpoint first).
"""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from types import FrameType
from typing import Any, NoReturn

from zsk.terminal import drop_broken, say

USER_ERROR_EXIT_CODE = 2

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(Exception):
    """A mistake that the user can correct: one sentence says what is wrong, where, what to do."""


def lacks_memory(error: Exception) -> bool:
    """Whether the cause of an error is that there is not enough memory, of the CPU or the GPU."""
    if isinstance(error, RuntimeError):  # torch's words for a GPU and for the CPU
        words = "(out of|allocate) memory|alloc_failed"
        return re.search(words, str(error).lower()) is not None
    return isinstance(error, MemoryError)


class Terminated(SystemExit):
    """SIGTERM in a `main` of `run_cli`: `finally` cleans up, `except Exception` lets it pass."""


def run_cli(main: Callable[[], int | None]) -> NoReturn:
    """Run a command line's `main` and leave the process with its exit code (None counts as 0).

    One line on stderr and exit code 2 for a `UserError`, for a file that cannot be read or written
    and for an output that is closed (`| head`) or full; 130 for Ctrl-C, 143 for SIGTERM. Any other
    exception is a defect of this project and keeps its traceback. Characters that the encoding of
    the output lacks are printed as escapes.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with reported_mistakes():
        try:
            code: object = main()
        except Terminated:
            raise
        except SystemExit as end:  # argparse's: what it printed may not be written yet
            code = end.code
        print(end="", flush=True)
    sys.exit(code)  # type: ignore[arg-type]


class UnreadableFile(UserError):
    """A photo or label that is missing, damaged or no image."""


@contextmanager
def reported_mistakes() -> Iterator[None]:
    """As `run_cli`, for a block of code: imports that fail where a package is missing."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    handles = in_main_thread and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if handles:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except UserError as error:
        # from a loader's worker process the message comes behind a traceback
        text = str(error).rpartition(f"{type(error).__name__}: ")[2]
        _leave(f"error: {text}", USER_ERROR_EXIT_CODE)
    except KeyboardInterrupt:
        _leave("interrupted", 128 + signal.SIGINT)  # as a shell reports it
    except Terminated:
        _leave("terminated", 128 + signal.SIGTERM)
    except OSError as error:
        if error.filename is not None:
            where = os.fsdecode(error.filename)
        elif error.errno in _NO_SPACE or drop_broken("\n"):
            where = "the output or a file cannot be written"
        else:
            raise
        _leave(f"error: {where}: {error.strerror}", USER_ERROR_EXIT_CODE)
    finally:
        if handles:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


class MissingPackage(ImportError):
    """A package that is not installed; a program that does not catch it ends with the sentence."""


def require(package: str, remedy: str) -> None:
    """Raise a MissingPackage where there is no such package."""
    if find_spec(package) is None:
        sys.excepthook = partial(_without_traceback, sys.excepthook)
        raise MissingPackage(f"the package {package} is missing: {remedy}")


def _without_traceback(
    others: Callable[..., object], kind: type, error: object, *rest: Any
) -> None:
    if kind is MissingPackage:
        say(f"error: {error}", error=True)
    else:
        others(kind, error, *rest)


def _terminate(_: int, __: FrameType | None) -> NoReturn:
    raise Terminated(128 + signal.SIGTERM)


def _leave(message: str, code: int) -> NoReturn:
    """Print on stderr as one line: messages may quote another library's many-line error."""
    say(" ".join(message.split()), error=True)
    drop_broken()  # or the interpreter's end would report it again
    sys.exit(code)
