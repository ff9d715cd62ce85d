"""Mistakes and circumstances that a user can mend, and how a command line reports them.

A command line has three phases. While it imports torch, `end_quietly` is in charge of Ctrl-C and
SIGTERM. `run_cli` takes over for `main`, which may install handlers of its own (training saves a
checkpoint first). After `main`, `end_quietly` is in charge again.
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
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from zsk.terminal import drop_broken, say

USER_ERROR_EXIT_CODE = 2

_ROOT = Path(__file__).resolve().parents[1]
_PROGRAMS = ("datasets", "demo", "tools", "train_net.py", "zsk")  # below _ROOT
_ENDINGS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
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
    previous = _install({signal.SIGINT: signal.default_int_handler, signal.SIGTERM: _terminate})
    try:
        yield
    except UserError as error:
        # from a loader's worker process the message comes behind a traceback
        text = str(error).rpartition(f"{type(error).__name__}: ")[2]
        _leave(f"error: {text}", USER_ERROR_EXIT_CODE)
    except KeyboardInterrupt:
        _leave(_ENDINGS[signal.SIGINT], 128 + signal.SIGINT)  # as a shell reports it
    except Terminated:
        _leave(_ENDINGS[signal.SIGTERM], 128 + signal.SIGTERM)
    except OSError as error:
        if error.filename is not None:
            where = os.fsdecode(error.filename)
        elif error.errno in _NO_SPACE or drop_broken("\n"):
            where = "the output or a file cannot be written"
        else:
            raise
        _leave(f"error: {where}: {error.strerror}", USER_ERROR_EXIT_CODE)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def end_quietly() -> None:
    """From now on, Ctrl-C and SIGTERM end a program of this project with a line, no traceback.

    Called before torch is imported, which takes seconds. A program that merely imports zsk keeps
    its own ways.
    """
    if _is_ours():
        _install(dict.fromkeys(_ENDINGS, _end_at_once))


def require(package: str, remedy: str) -> None:
    """End a program of this project with a line where a package is missing.

    Raises:
        ModuleNotFoundError: in other programs.
    """
    if find_spec(package) is None:
        text = f"the package {package} is missing: {remedy}"
        if _is_ours():
            say(f"error: {text}", error=True)
            sys.exit(USER_ERROR_EXIT_CODE)
        raise ModuleNotFoundError(text, name=package)


def _is_ours() -> bool:
    """Whether the process is a program of this project, not one that imports zsk."""
    program = (getattr(sys, "argv", None) or [""])[0]
    if program == "-m":  # python -m zsk.…, at its start
        command = "\0".join(sys.orig_argv[1:])
        return re.search(r"(^|\0)-[bBdEiIOPqsSuvx]*m\0?zsk(\.|\0|$)", command) is not None
    if program in ("", "-c"):  # an interactive session, a line of code
        return False
    path = Path(program).resolve()
    known = any(path.is_relative_to(_ROOT / ours) for ours in _PROGRAMS)
    # a command of the console script, "zsk train" in the processes that a training starts
    return known or path.stem.partition(" ")[0] == "zsk"


def _install(handlers: dict[signal.Signals, Any]) -> dict[signal.Signals, Any]:
    """Replace the default handlers and `_end_at_once`, no one else's; returns the replaced ones."""
    ours = (signal.SIG_DFL, signal.default_int_handler, _end_at_once)
    if threading.current_thread() is not threading.main_thread():
        return {}
    current = {number: signal.getsignal(number) for number in handlers}
    replaced = {number: handler for number, handler in current.items() if handler in ours}
    for number in replaced:
        signal.signal(number, handlers[number])
    return replaced


def _terminate(_: int, __: FrameType | None) -> NoReturn:
    raise Terminated(128 + signal.SIGTERM)


def _end_at_once(number: int, _: FrameType | None) -> NoReturn:
    os.write(2, f"{_ENDINGS[signal.Signals(number)]}\n".encode())
    os._exit(128 + number)


def _leave(message: str, code: int) -> NoReturn:
    """Print on stderr as one line: messages may quote another library's many-line error."""
    say(" ".join(message.split()), error=True)
    drop_broken()  # or the interpreter's end would report it again
    sys.exit(code)
