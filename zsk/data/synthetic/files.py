"""The synthetic world as folders and files that exist nowhere: rendered when they are opened.

"synthetic:train/photos" and "synthetic:train/stuff" are a folder of photos and one of label images,
with the files "00000.png", "00001.png", …; they go where any folder of a data set goes.
Parts: train and val. Labels: stuff (all 32 classes) and objects (24; the ground is ignored).
"""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image

from zsk.vocabulary import IGNORE_LABEL

from .classes import OBJECTS
from .scene import SIDE, Rendering, Scene

SCHEME = "synthetic:"
PARTS = {"train": (1, 3000), "val": (2, 80)}  # seed, number of scenes
KINDS = ("photos", "stuff", "objects")


def is_synthetic(path: str) -> bool:
    """Whether a path is one of this world's."""
    return path.startswith(SCHEME)


def list_folder(folder: str) -> dict[str, str]:
    """The files of "synthetic:<part>/<kind>", path by stem; none for a folder that is none."""
    part, _, kind = folder.removeprefix(SCHEME).partition("/")
    if part not in PARTS or kind not in KINDS:
        return {}
    stems = map(_stem, range(PARTS[part][1]))
    return {stem: f"{folder}/{stem}.png" for stem in stems}


def open_file(path: str) -> Image.Image:
    """The RGB photo or the grey label image that a path of `list_folder` names.

    Raises:
        FileNotFoundError: there is no such file in the synthetic world.
    """
    folder, _, name = path.rpartition("/")
    part, _, kind = folder.removeprefix(SCHEME).partition("/")
    seed, count = PARTS.get(part, (0, 0))
    digits = name.removesuffix(".png")
    number = int(digits) if digits.isdecimal() else count
    if kind not in KINDS or number >= count or name != f"{_stem(number)}.png":
        raise FileNotFoundError(path)
    rendering = _render(seed, number)
    if kind == "photos":
        return Image.fromarray(rendering.image)
    labels = rendering.classes
    if kind == "objects":
        labels = np.where(labels < len(OBJECTS), labels, IGNORE_LABEL).astype(np.uint8)
    return Image.fromarray(labels)


def file_size() -> tuple[int, int]:
    """(height, width) of every file: nothing need be rendered for it."""
    return SIDE, SIDE


def _stem(number: int) -> str:
    return f"{number:05}"


# a training reads each scene many times: all scenes take 110 MB
@functools.lru_cache(maxsize=PARTS["train"][1] + PARTS["val"][1])
def _render(seed: int, number: int) -> Rendering:
    return Scene(seed, number).render()
