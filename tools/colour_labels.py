"""Labels from colour masks (used by convert_labels.py)."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from zsk.data.images import (
    IMAGE_SUFFIXES,
    WIDE_INTEGER_MODES,
    opened,
    read_oriented_image,
)
from zsk.data.listing import files_by_stem
from zsk.errors import UserError
from zsk.files import text_lines
from zsk.vocabulary import ignore_label, label_dtype

Colour = tuple[int, int, int]

VOC_BORDER = (224, 224, 192)
COLOURS_TOLD = 5
JPEG_SUFFIXES = (".jpg", ".jpeg", ".jfif")  # their compression changes colours
MASK_SUFFIXES = tuple(suffix for suffix in IMAGE_SUFFIXES if suffix not in JPEG_SUFFIXES)


def voc_colours(class_names: Path) -> dict[str, Colour]:
    """Class name → colour in Pascal VOC's palette, in the order of a file of names.

    Raises:
        UserError: the file cannot be read, or its first name is not of the background, which is
            black.
    """
    # labelme's list begins with a name that has no colour
    names = [name for name in text_lines(class_names) if name != "__ignore__"]
    if names and "background" not in names[0].lower():
        raise UserError(
            f"{class_names}: the first name is {names[0]!r}, but the first colour of Pascal VOC's "
            "palette, black, is the background: begin with a line background"
        )
    return {name: voc_colour(k) for k, name in enumerate(names)}


def colour_table(table: Path) -> dict[str, Colour]:
    """Class name → colour, in the order of CVAT's table or of lines name,r,g,b."""
    colours: dict[str, Colour] = {}
    for number, line in enumerate(text_lines(table)):
        found = re.fullmatch(r"(.+?)[:,;\t ]+(\d+)[,;\t ]+(\d+)[,;\t ]+(\d+)(:.*)?", line)
        if found is None:
            if line.startswith("#") or number == 0 and not re.search(r"\d", line):  # a heading
                continue
            raise UserError(f"{table}: {line!r} is no line name:r,g,b (CVAT) or name,r,g,b")
        name, colour = found[1].strip(), tuple(int(value) for value in found.group(2, 3, 4))
        if name in colours or colour in colours.values() or max(colour) > 255:
            raise UserError(f"{table}: {line!r} repeats a name or colour, or is no 8-bit colour")
        colours[name] = colour
    return colours


def voc_colour(index: int) -> Colour:
    """The colour of a class in Pascal VOC's palette: its bits are spread over the channels."""
    channels = [0, 0, 0]
    for place in range(8):
        for c in range(3):
            channels[c] |= (index >> 3 * place + c & 1) << 7 - place
    return channels[0], channels[1], channels[2]


def from_colours(folder: Path, colours: dict[str, Colour]) -> Iterator[tuple[str, np.ndarray]]:
    """The masks of a folder and those below, as ids; files with MASK_SUFFIXES are masks.

    Raises:
        UserError: there is no mask, two share a stem, or a mask has colours without a class, which
            are counted.
    """
    files = files_by_stem(os.fspath(folder), MASK_SUFFIXES, "masks", sub_folders=True)
    ids = {_packed(np.array(colour)): k for k, colour in enumerate(colours.values())}
    if set(colours.values()) <= {voc_colour(k) for k in range(256)}:  # else it means nothing
        ids.setdefault(_packed(np.array(VOC_BORDER)), ignore_label(len(colours)))
    for stem, file in sorted(files.items()):
        with opened(file, "mask") as stored:
            if stored.mode in WIDE_INTEGER_MODES:
                raise UserError(f"mask {file} has whole numbers of 16 bits or more, no colours")
        pixels = _packed(read_oriented_image(file)[0].astype(np.int64))
        found, positions = np.unique(pixels, return_inverse=True)
        unknown = Counter({int(c): int((pixels == c).sum()) for c in found if c not in ids})
        if unknown:
            told = ", ".join(
                f"{c >> 16},{c >> 8 & 255},{c & 255} ({count:,} pixels)"
                for c, count in unknown.most_common(COLOURS_TOLD)
            )
            raise UserError(
                f"mask {file} has {len(unknown)} colours without a class: {told}; add them to the "
                "table (smoothed or JPEG-compressed masks cannot be converted)"
            )
        table = np.array([ids[c] for c in found], dtype=label_dtype(len(colours)))
        yield stem, table[positions].reshape(pixels.shape)


def _packed(colours: np.ndarray) -> np.ndarray:
    """(…,3) → (…): one number per colour."""
    return colours @ np.array([65536, 256, 1])


def files_left_out(folder: Path) -> str:
    """How many files of a folder and those below are no masks, by their endings; "" for none."""
    others = Counter(
        file.suffix.lower() or "no ending"
        for file in folder.rglob("*")
        if file.is_file() and file.suffix.lower() not in MASK_SUFFIXES
    )
    return ", ".join(f"{count} {ending}" for ending, count in sorted(others.items()))
