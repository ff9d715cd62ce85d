"""Mistakes that a user can correct, and how a command line reports them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

USER_ERROR_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130  # 128 + SIGINT, as a shell reports it
TERMINATED_EXIT_CODE = 143  # 128 + SIGTERM


class UserError(Exception):
    """A mistake that the user can correct: one sentence says what is wrong, where, what to do."""


def run_cli(main: Callable[[], int | None]) -> NoReturn:
    """Run a command line's `main` and leave the process with its exit code (None counts as 0).

    A `UserError` becomes one line on stderr and exit code 2, Ctrl-C one line and exit code 130.
    Any other exception is a defect of this project and keeps its traceback.
    """
    with reported_mistakes():
        code = main()
    sys.exit(code)


@contextmanager
def reported_mistakes() -> Iterator[None]:
    """As `run_cli`, for a block of code: imports that fail where a package is missing."""
    try:
        yield
    except UserError as error:
        # from a loader's worker process the message comes behind a traceback
        _print_line(f"error: {str(error).rpartition('UserError: ')[2]}")
        sys.exit(USER_ERROR_EXIT_CODE)
    except KeyboardInterrupt:
        _print_line("interrupted")
        sys.exit(INTERRUPTED_EXIT_CODE)


def _print_line(message: str) -> None:
    """Print on stderr as one line: messages may quote another library's many-line error."""
    print(" ".join(message.split()), file=sys.stderr)
