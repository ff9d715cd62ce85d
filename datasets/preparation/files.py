"""Writes files of a prepared data set whole or not at all, and links to others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
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


def link_into(files: Mapping[str, Path], folder: Path) -> list[Path]:
    """Symbolic links `folder`/<stem><suffix> to files by stem; older links are replaced.

    For data sets whose photos and labels lie in many folders and do not share their stems. The
    links are relative, so that a data root that is moved stays whole.

    Args:
        files: stem → file.
        folder: made when missing.

    Returns:
        The links, in the order of `files`.

    Raises:
        UserError: naming the link, when it cannot be made or a file is in its place.
    """
    make_folder(folder)
    # ".." counts from the real folder, which a link may lead to
    start = folder.resolve()
    links = []
    for stem, target in files.items():
        link = folder / (stem + target.suffix)
        relative = os.path.relpath(target.resolve(), start)
        try:
            if link.is_symlink() and os.readlink(link) != relative:
                link.unlink()
            if not link.is_symlink():
                link.symlink_to(relative)
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"cannot make the link {link} ({reason}): {DATA_ROOT_HINT}") from error
        links.append(link)
    return links


def _write(path: Path, save: Callable[[Path], object]) -> None:
    try:
        with replacing(path) as unfinished:
            save(unfinished)
    except UserError as error:
        raise UserError(f"{error}; {DATA_ROOT_HINT}") from error
