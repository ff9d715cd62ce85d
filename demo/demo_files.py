"""Which photos the demo reads, and what it writes about each."""

from __future__ import annotations

import glob
import importlib.util
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from zsk.data.images import read_image
from zsk.errors import UserError
from zsk.segmenter import Segmentation
from zsk.visualization import label_image

IMAGE_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
RESULT_ENDINGS = ("_overlay.png", "_labels.png", ".json")
Loaded = np.ndarray | UserError  # a photo, or why it could not be read
# what the demo calls it → the file inside the scikit-image package
_SAMPLES = {
    "chelsea": "chelsea.png",
    "motorcycle": "motorcycle_left.png",
    "coffee": "coffee.png",
    "astronaut": "astronaut.png",
}


def find_photos(patterns: Iterable[str]) -> list[Path]:
    """The photos behind files, folders (image suffixes only, no subfolders) and globs.

    Raises:
        UserError: something is not there, or a folder or a glob holds no photo.
    """
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            photos = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
            problem = "the folder holds no photo"
        elif path.exists():
            photos, problem = [path], ""
        else:
            photos = sorted(p for p in map(Path, glob.glob(pattern)) if p.is_file())
            problem = "no such file or folder"
        if not photos:
            raise UserError(f"--input {pattern}: {problem}")
        found += photos
    return found


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


def read_ahead(photos: Iterable[Path], count: int) -> Iterator[list[tuple[Path, Loaded]]]:
    """`count` photos at a time, the next of which are read while these are worked on.

    Each comes with its (H,W,3) uint8 RGB array, or with the UserError that says why there is none.
    """
    waiting = iter(photos)
    with ThreadPoolExecutor(max_workers=1) as reader:

        def start() -> list[tuple[Path, Future[Loaded]]]:
            return [(p, reader.submit(_read, p)) for p in itertools.islice(waiting, count)]

        try:
            ahead = start()
            while ahead:
                current, ahead = ahead, start()
                yield [(photo, loading.result()) for photo, loading in current]
        finally:  # whoever stops early waits for one photo, not for a batch
            reader.shutdown(cancel_futures=True)


def _read(photo: Path) -> Loaded:
    try:
        return read_image(photo)
    except UserError as error:
        return error


def name_results(photos: Mapping[Path, str], output: Path) -> dict[Path, Path]:
    """Photo → path of its results without their endings; no two photos share one.

    A photo whose wished-for stem is taken gets its folder's name before it, then a number after
    it. A stem is also taken when a result would replace one of the photos. Photos that are the same
    file are one photo.

    Args:
        photos: path → the stem it would like.
        output: folder of the results.
    """
    unique: dict[Path, Path] = {}
    for photo in photos:
        unique.setdefault(photo.resolve(), photo)
    # compared without letter case, as some file systems do
    taken = {str(resolved).casefold() for resolved in unique}
    named = {}
    for resolved, photo in unique.items():
        for stem in _wishes(photos[photo], resolved.parent.name):
            results = {str(file).casefold() for file in _files(output.resolve() / stem)}
            if not results & taken:
                break
        taken |= results
        named[photo] = output / stem
    return named


def write_results(
    target: Path,
    photo: Path,
    image: np.ndarray,
    segmentation: Segmentation,
    run: Mapping[str, str],
) -> None:
    """Write `<target>_overlay.png`, `<target>_labels.png` and `<target>.json`.

    Args:
        target: from `name_results`.
        photo: where the image comes from.
        image: (H,W,3) uint8 RGB.
        segmentation: of the image.
        run: what else the JSON file says: "config", "weights".

    Raises:
        UserError: there are more names than a label image holds.
    """
    overlay_file, labels_file, json_file = _files(target)
    names = segmentation.vocabulary.names
    labels = label_image(segmentation.labels, len(names))
    summary = {
        "image": str(photo),
        "width": image.shape[1],
        "height": image.shape[0],
        "names": names,
        "shares": segmentation.shares(),
        **run,
    }
    labels.save(labels_file)
    Image.fromarray(segmentation.overlay(image)).save(overlay_file)
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    json_file.write_text(text, encoding="utf-8")


def _wishes(stem: str, folder: str) -> Iterator[str]:
    yield stem
    yield f"{folder}_{stem}"
    for number in itertools.count(2):
        yield f"{stem}_{number}"


def _files(target: Path) -> list[Path]:
    return [target.with_name(target.name + ending) for ending in RESULT_ENDINGS]
