"""Writes files of a prepared data set whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from zsk.errors import UserError


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, unless it is there.

    Raises:
        UserError: naming the folder, when it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write (H,W) ids or (H,W,3) RGB, uint8, as a PNG, whole or not at all.

    Raises:
        UserError: naming the file, when it cannot be written.
    """
    _write(path, lambda unfinished: Image.fromarray(pixels).save(unfinished, format="PNG"))


def write_stems(path: Path, stems: Iterable[str]) -> None:
    """Write a list of stems, one per line, whole or not at all.

    Raises:
        UserError: naming the file, when it cannot be written.
    """
    text = "".join(f"{stem}\n" for stem in stems)
    _write(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))


def _write(path: Path, save: Callable[[Path], object]) -> None:
    """`save` under a temporary name, then rename: an interrupted run leaves no half file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(
        f"cannot write {path} ({error.strerror or error}): the data root has to be writable; "
        "a folder of links to the data will do (datasets/README.md)"
    )
