"""Result files are written whole or not at all; text files are read without surprises."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zsk.errors import UserError

UNFINISHED_AGE = 3600.0  # seconds after which an unfinished file is nobody's any more


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new name beside `path`, which becomes `path` when the block ends without an error.

    The name keeps the ending of `path`, since writers take the format from it. After an error the
    new file is removed and an older `path` stays as it was.

    Raises:
        UserError: naming `path`, for an OSError in the block or in the renaming; for a RuntimeError
            too, as which torch reports a full disk.
    """
    path = Path(path)
    unfinished = path.with_name(f".unfinished-{secrets.token_hex(8)}{path.suffix}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if "inline_container" in reason:  # torch's words for a write that stopped short
            reason = "the disk is full, or the file larger than is allowed"
        raise UserError(f"{path} cannot be written: {reason}") from error
    finally:
        try:
            unfinished.unlink(missing_ok=True)
        except OSError:
            pass  # the first error says what is wrong


def user_path(text: str | os.PathLike[str]) -> Path:
    """The path of an option; a ~ at its beginning is the home folder, as a shell reads it.

    Raises:
        UserError: it is empty, as a variable of a shell that is not set: no path, and not the
            working folder.
    """
    if not os.fspath(text):
        raise UserError("the name of a file or folder is empty: give one, or . for this folder")
    return Path(os.path.expanduser(text))  # that of pathlib fails for a name such as ~tmp.jpg


def writable_folder(folder: Path, what: str) -> None:
    """Make a folder, with its parents, into which files can be written; `what` names it.

    Unfinished files of killed processes are removed.

    Raises:
        UserError: it cannot be made or written to, or its disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(2**20))
    except OSError as error:
        raise UserError(f"{what} cannot be written: {error.strerror}") from error
    remove_unfinished(folder)


def remove_unfinished(folder: str | os.PathLike[str]) -> None:
    """Remove the files that a killed process left behind in `replacing`."""
    for file in Path(folder).glob(".unfinished-*"):
        try:
            if time.time() - file.stat().st_mtime > UNFINISHED_AGE:
                file.unlink()
        except OSError:
            continue  # another process has removed it, or the folder is read-only


def text_lines(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a UTF-8 file without the spaces around them; blank ones are left out.

    Raises:
        UserError: naming `path`, when it cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} cannot be read (it is not encoded in UTF-8)") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
