"""What `zsk segment` writes about each photo, and how it knows its own results."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zsk.errors import UserError
from zsk.files import remove_unfinished, replacing
from zsk.segmenter import Segmentation
from zsk.visualization import label_image

RESULT_ENDINGS = ("_overlay.png", "_labels.png", ".json")
_LONGEST_STEM = 255 - max(map(len, RESULT_ENDINGS))  # bytes; file systems take names of 255


def is_result(photo: Path) -> bool:
    """Whether a file is a result of an earlier run: the JSON of that result lies beside it."""
    for ending in RESULT_ENDINGS:
        if photo.name.endswith(ending):
            summary = photo.with_name(photo.name[: -len(ending)] + ".json")
            try:
                content = json.loads(summary.read_bytes()) if summary.is_file() else None
            except (OSError, ValueError, RecursionError):
                return False
            return isinstance(content, dict) and {"image", "names", "shares"} <= content.keys()
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
    try:
        output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output).close()
    except OSError as error:
        raise UserError(f"--output {output} cannot be written: {error.strerror}") from error
    remove_unfinished(output)
    for file in itertools.chain.from_iterable(map(_files, targets)):
        if os.path.isfile(file) and not overwrite:
            raise UserError(
                f"the result {file} exists: give --overwrite to replace earlier results, or "
                "another folder with --output"
            )


def name_results(photos: Mapping[Path, str], output: Path) -> dict[Path, Path]:
    """Photo → path of its results without their endings; no result replaces another or a photo.

    Where the wished-for stem is taken, the name of the photo's folder goes before it, or else a
    number after it. A stem that is too long for a file's name is cut and gets a hash. Several paths
    of one file are one photo.

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
        stem = photos[photo] if photos[photo].strip(".") else "photo"  # "..jpg" has the stem "."
        numbers = (f"{stem}_{number}" for number in itertools.count(2))
        for wish in itertools.chain([stem, f"{Path(resolved).parent.name}_{stem}"], numbers):
            wish = _shortened(wish)
            results = {str(file).casefold() for file in _files(folder / wish)}
            if not results & taken:
                break
        taken |= results
        named[photo] = output / wish
    return named


def _shortened(stem: str) -> str:
    whole = os.fsencode(stem)
    if len(whole) <= _LONGEST_STEM:
        return stem
    mark = "-" + hashlib.sha256(whole).hexdigest()[:8]
    return whole[: _LONGEST_STEM - len(mark)].decode("utf-8", "ignore") + mark


def write_results(
    target: Path,
    photo: Path,
    image: np.ndarray,
    segmentation: Segmentation,
    origin: Mapping[str, Any],
) -> None:
    """Write `<target>_overlay.png`, `<target>_labels.png` and last, as a mark of all, its JSON.

    Args:
        target: from `name_results`.
        photo: the file of the image.
        image: (H,W,3) uint8 RGB.
        segmentation: of the image.
        origin: further entries of the JSON file.

    Raises:
        UserError: a file cannot be written, or there are more names than a label image holds.
    """
    overlay_file, labels_file, json_file = _files(target)
    names = segmentation.vocabulary.names
    labels = label_image(segmentation.labels, len(names))
    overlay = Image.fromarray(segmentation.overlay(image))
    height, width = image.shape[:2]
    summary = {"image": str(photo), "width": width, "height": height, "names": names}
    summary |= {"shares": segmentation.shares(), **origin}
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    with suppress(OSError):  # an earlier one, which would not fit half-replaced label images
        json_file.unlink()
    for file, picture in ((labels_file, labels), (overlay_file, overlay)):
        with replacing(file) as unfinished:
            picture.save(unfinished)
    with replacing(json_file) as unfinished:
        # a name that is no UTF-8 becomes JSON's escapes, which json.loads turns into that name
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")


def _files(target: Path) -> list[Path]:
    return [target.with_name(target.name + ending) for ending in RESULT_ENDINGS]
