"""Which photos `zsk segment` reads."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Sequence
from pathlib import Path

from zsk.cli.results import is_result
from zsk.data.images import IMAGE_SUFFIXES
from zsk.errors import UserError
from zsk.files import user_path
from zsk.terminal import say

# beginnings of files beside photos: macOS's notes on them, and what `replacing` is writing
_NO_PHOTOS = ("._", ".unfinished-")
# photos that Pillow does not read, or not as they are meant to look
_UNREAD = (".heic", ".heif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2")
# stem of the results → file inside the scikit-image package
_SAMPLES = {
    "chelsea": "chelsea.png",
    "motorcycle": "motorcycle_left.png",
    "coffee": "coffee.png",
    "astronaut": "astronaut.png",
}
# what a user might type for each: things in it, things that are not, and hard ones
_SAMPLE_WORDS = {
    "chelsea": "cat, dog, person, blanket, sofa, wall, grass",
    "motorcycle": "motorcycle, bicycle, car, person, bench, shelf, door, floor",
    "coffee": "cup, saucer, spoon, table, plate, bowl, cake, book",
    "astronaut": "person, spacesuit, helmet, flag, space shuttle, wall, dog, car",
}


def collect_photos(patterns: Sequence[str], samples: bool) -> tuple[dict[Path, str], int]:
    """Photo → stem of its results, and how many patterns lead to no photo (a line each).

    Raises:
        UserError: there is no photo at all.
    """
    photos: dict[Path, str] = {}
    missing: list[UserError] = []
    for pattern in patterns:
        try:
            photos |= {photo: photo.stem for photo in find_photos(pattern)}
        except UserError as error:
            missing.append(error)
    results = [photo for photo in photos if is_result(photo)]
    for result in results:
        del photos[result]
    if samples:
        photos |= sample_photos()
    if not photos and missing:
        raise missing[0]
    if not photos:
        raise UserError(f"the photos are only results of an earlier run, such as {results[0]}")
    for problem in missing:
        say(f"error: {problem}", error=True)
    if results:
        note = f"note: {len(results)} files are results of an earlier run and are left out"
        say(f"{note}, such as {results[0]}", error=True)
    return photos, len(missing)


def find_photos(pattern: str) -> list[Path]:
    """The photos behind a file, a folder (image suffixes only, no subfolders) or a glob.

    In a glob `**` stands for any number of folders; hidden files and folders are left out.

    Raises:
        UserError: nothing is there, or the folder or the glob holds no photo.
    """
    path, problem = user_path(pattern), "no such file or folder"
    if re.fullmatch(r"[A-Z]+(\.[A-Z_0-9]+)+", pattern):
        problem += " (configuration keys go behind --opts)"
    if os.path.isdir(path):
        problem = "the folder holds no photo"
        try:
            inside = sorted(p for p in path.iterdir() if not p.name.startswith(_NO_PHOTOS))
        except OSError as error:
            raise UserError(f"photos {pattern}: {error.strerror}") from error
        photos = [p for p in inside if p.suffix.lower() in IMAGE_SUFFIXES and not os.path.isdir(p)]
        unread = [p for p in inside if p.suffix.lower() in _UNREAD]
        if unread:
            note = f"note: {len(unread)} photos are of a kind that is not read and are left out"
            say(f"{note}, such as {unread[0]}: convert them to JPEG", error=True)
    elif os.path.lexists(path):
        photos = [path]
    else:
        try:  # not glob.glob: its ** follows links, which may lead round in circles
            found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        except (ValueError, NotImplementedError, OSError):  # such as a name too long
            found = []
        hidden = {p for p in found for part in p.parts if part[0] == "." and part not in path.parts}
        photos = [p for p in found if p not in hidden and not os.path.isdir(p)]
    if not photos:
        raise UserError(f"photos {pattern}: {problem}")
    return photos


def sample_photos() -> dict[Path, str]:
    """Path → stem of the results, for the photos inside the scikit-image package.

    Raises:
        UserError: scikit-image is not installed.
    """
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise UserError("--sample-photos needs scikit-image: pip install scikit-image")
    folder = Path(spec.origin).parent / "data"
    return {folder / file_name: stem for stem, file_name in _SAMPLES.items()}


def sample_words() -> dict[Path, str]:
    """Path → class names for each of `sample_photos`."""
    return {photo: _SAMPLE_WORDS[stem] for photo, stem in sample_photos().items()}
