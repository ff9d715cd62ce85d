"""Writes files of a prepared data set whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from zsk.errors import UserError
from zsk.files import replacing

DATA_ROOT_HINT = (
    "the data root has to be writable, a folder of links to the data will do (datasets/README.md)"
)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, unless it is there.

    Raises:
        UserError: naming the folder, when it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {error.strerror}; {DATA_ROOT_HINT}") from error


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write (H,W) ids, uint8 or uint16, or (H,W,3) RGB, uint8, as a PNG, whole or not at all.

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
    try:
        with replacing(path) as unfinished:
            save(unfinished)
    except UserError as error:
        raise UserError(f"{error}; {DATA_ROOT_HINT}") from error
