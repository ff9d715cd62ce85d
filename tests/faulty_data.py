"""A small data set on disk, the faults that a check has to find in it, and an evil pickle."""

from pathlib import Path

import numpy as np
from label_files import write_pairs
from PIL import Image

NAMES = ("cat", "cow", "dog")

FAULTS = {
    "colours": r"label .*labels/b.png holds colours",
    "outside": r"label .*labels/b.png holds the id 3, but .* 0–2, .* in label_values",
    "size": r"label .*labels/b.png is 6×5 pixels but its image .*photos/b.jpg is 8×5",
    "turned": r"label .*labels/b.png is 8×5 pixels but its image .*photos/b.jpg is 5×8",
    "upside down": r"image .*photos/b.jpg has the EXIF orientation 3, .* set label_orientation",
    "tagged label": r"label .*labels/b.png has an EXIF orientation",
    "no label": r"image .*photos/b.jpg has no label .*labels/b.png",
    "no photo": r"label .*labels/b.png has no image b .* in .*photos",
    "truncated": r"image .*photos/b.jpg cannot be read \(.*truncated",
    "empty": r"the folder of labels .*labels holds no file ending in .png",
    "no folder": r"the folder of photos .*photos does not exist",
}
"""Fault → a pattern of the sentence that tells it."""

IN_PIXELS = {"truncated"}
"""Faults that only show when a photo is decoded."""


class Evil:
    """Opens the file `written` when it is unpickled."""

    def __init__(self, written: Path) -> None:
        self.written = written

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.written), "w"))


def write_data(folder: Path) -> tuple[Path, Path]:
    """photos/{a,b,c,d}.jpg and labels/{a,b,c,d}.png, all 8×5; a cat, b cow, c dog, d nothing."""
    ids = {"a": 0, "b": 1, "c": 2, "d": 255}
    labels = {stem: np.full((5, 8), label_id, np.uint8) for stem, label_id in ids.items()}
    return write_pairs(folder, labels, photo_suffix=".jpg")


def plant(fault: str, photos: Path, labels: Path) -> None:
    """Spoil the pair b (or a whole folder)."""
    photo, label = photos / "b.jpg", labels / "b.png"
    drawn = {"colours": ("RGB", (8, 5)), "outside": ("L", (8, 5), 3), "size": ("L", (6, 5))}
    if fault in drawn:
        Image.new(*drawn[fault]).save(label)
    elif fault in ("turned", "upside down", "tagged label"):
        exif, file = Image.Exif(), label if fault == "tagged label" else photo
        exif[0x0112] = 6 if fault == "turned" else 3
        Image.open(file).save(file, exif=exif)
    elif fault == "no label":
        label.unlink()
    elif fault == "no photo":
        photo.unlink()
    elif fault == "truncated":
        whole = photo.read_bytes()
        photo.write_bytes(whole[: len(whole) - 40])
    elif fault == "empty":
        for path in labels.iterdir():
            path.unlink()
    elif fault == "no folder":
        photos.rename(photos.with_name("elsewhere"))
