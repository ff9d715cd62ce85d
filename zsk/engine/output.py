"""OUTPUT_DIR takes one training at a time, and a user's mistake will be reported once."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from detectron2.utils import comm

from zsk.errors import UserError


@contextmanager
def locked_output_folder(folder: str) -> Iterator[None]:
    """Keep other trainings out of OUTPUT_DIR in the block; the main process holds the lock.

    Raises:
        UserError: another one is in it.
    """
    if not comm.is_main_process():
        yield
        return
    with open(os.path.join(folder, ".lock"), "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another training writes into OUTPUT_DIR {folder}: wait for its end, or give "
                "another OUTPUT_DIR"
            ) from error
        except OSError:
            pass  # a file system without locks
        yield


def report_mistakes_once() -> None:
    """Keep Detectron2 from logging the traceback of an error that `run_cli` reports."""
    logging.getLogger("detectron2.engine.train_loop").addFilter(_is_no_mistake)


# FloatingPointError: of a diverged training, which Detectron2's main branch logs
_TOLD = UserError, OSError, FloatingPointError


def _is_no_mistake(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], _TOLD))
