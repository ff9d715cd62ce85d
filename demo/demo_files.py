"""Which photos the demo reads, and what it writes about each."""

from __future__ import annotations

import glob
import importlib.util
import itertools
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from zsk.errors import UserError
from zsk.segmenter import Segmentation
from zsk.visualization import label_image

IMAGE_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
RESULT_ENDINGS = ("_overlay.png", "_labels.png", ".json")
# stem of the results → file inside the scikit-image package
_SAMPLES = {
    "chelsea": "chelsea.png",
    "motorcycle": "motorcycle_left.png",
    "coffee": "coffee.png",
    "astronaut": "astronaut.png",
}


def find_photos(pattern: str) -> list[Path]:
    """The photos behind a file, a folder (image suffixes only, no subfolders) or a glob.

    Raises:
        UserError: nothing is there, or the folder or the glob holds no photo.
    """
    path, problem = Path(pattern), "no such file or folder"
    if path.is_dir():
        photos = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        problem = "the folder holds no photo"
    elif path.exists():
        photos = [path]
    else:
        photos = sorted(p for p in map(Path, glob.glob(pattern)) if p.is_file())
    if not photos:
        raise UserError(f"--input {pattern}: {problem}")
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


def name_results(photos: Mapping[Path, str], output: Path) -> dict[Path, Path]:
    """Photo → path of its results without their endings; no result replaces another or a photo.

    Where the wished-for stem is taken, the name of the photo's folder goes before it, or else a
    number after it. Several paths of one file are one photo.

    Args:
        photos: path → the stem that its results should have.
        output: folder of the results.
    """
    unique: dict[Path, Path] = {}
    for photo in photos:
        unique.setdefault(photo.resolve(), photo)
    # compared without letter case, as some file systems do
    taken = {str(resolved).casefold() for resolved in unique}
    named = {}
    for resolved, photo in unique.items():
        stem = photos[photo]
        numbers = (f"{stem}_{number}" for number in itertools.count(2))
        for wish in itertools.chain([stem, f"{resolved.parent.name}_{stem}"], numbers):
            results = {str(file).casefold() for file in _files(output.resolve() / wish)}
            if not results & taken:
                break
        taken |= results
        named[photo] = output / wish
    return named


def write_results(
    target: Path,
    photo: Path,
    image: np.ndarray,
    segmentation: Segmentation,
    origin: Mapping[str, str],
) -> None:
    """Write `<target>_overlay.png`, `<target>_labels.png` and `<target>.json`.

    Args:
        target: from `name_results`.
        photo: the file of the image.
        image: (H,W,3) uint8 RGB.
        segmentation: of the image.
        origin: further entries of the JSON file.

    Raises:
        UserError: there are more names than a label image holds.
    """
    overlay_file, labels_file, json_file = _files(target)
    names = segmentation.vocabulary.names
    label_image(segmentation.labels, len(names)).save(labels_file)
    Image.fromarray(segmentation.overlay(image)).save(overlay_file)
    height, width = image.shape[:2]
    summary = {"image": str(photo), "width": width, "height": height, "names": names}
    summary |= {"shares": segmentation.shares(), **origin}
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    json_file.write_text(text, encoding="utf-8")


def _files(target: Path) -> list[Path]:
    return [target.with_name(target.name + ending) for ending in RESULT_ENDINGS]
