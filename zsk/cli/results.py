"""Where `zsk segment` writes what it finds in each photo, and how it knows its own results."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from zsk.errors import UserError
from zsk.files import writable_folder
from zsk.segmentation import RESULT_ENDINGS

_LONGEST = 255 - max(map(len, RESULT_ENDINGS))  # bytes; file systems take names of 255


def is_result(photo: Path) -> bool:
    """Whether a file is a result of an earlier run: the JSON of that result lies beside it."""
    for ending in RESULT_ENDINGS:
        if photo.name.endswith(ending):
            summary = photo.with_name(photo.name[: -len(ending)] + ".json")
            try:
                content = json.loads(summary.read_bytes()) if summary.is_file() else None
            except (OSError, ValueError, RecursionError):
                return False
            return isinstance(content, dict) and {"names", "shares", "segments"} <= content.keys()
    return False


def prepare_output(output: Path, targets: Iterable[Path], overwrite: bool) -> None:
    """Make the folder of the results, before the model takes its time.

    Args:
        output: the folder.
        targets: of `name_results`.
        overwrite: whether results may be replaced.

    Raises:
        UserError: the folder cannot be made or written, or it holds one of the results.
    """
    writable_folder(output, f"--output {output}")
    for file in itertools.chain.from_iterable(map(_files, targets)):
        if os.path.isfile(file) and not overwrite:
            raise UserError(
                f"the result {file} exists: give --overwrite to replace earlier results, or "
                "another folder with --output"
            )


def name_results(photos: Mapping[Path, str], output: Path) -> dict[Path, Path]:
    """Photo → path of its results without their endings; no result replaces another or a photo.

    Where the wished-for stem is taken, the name of the photo's folder goes before it, or else a
    number after it. A stem that is too long for a file's name becomes "photo". Several paths of one
    file are one photo.

    Args:
        photos: path → the stem that its results should have.
        output: folder of the results.
    """
    unique: dict[str, Path] = {}
    for photo in photos:
        unique.setdefault(os.path.realpath(photo), photo)
    # compared without letter case, as some file systems do
    taken = {resolved.casefold() for resolved in unique}
    folder = Path(os.path.realpath(output))
    named = {}
    for resolved, photo in unique.items():
        stem = photos[photo]
        if not stem.strip(".") or len(os.fsencode(stem)) > _LONGEST - 10:  # room for a number
            stem = "photo"  # "..jpg" has the stem "."
        numbers = (f"{stem}_{number}" for number in itertools.count(2))
        for wish in itertools.chain([stem, f"{Path(resolved).parent.name}_{stem}"], numbers):
            results = {str(file).casefold() for file in _files(folder / wish)}
            if len(os.fsencode(wish)) <= _LONGEST and not results & taken:
                break
        taken |= results
        named[photo] = output / wish
    return named


def _files(target: Path) -> list[Path]:
    return [target.with_name(target.name + ending) for ending in RESULT_ENDINGS]
