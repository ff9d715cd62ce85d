#!/usr/bin/env python
"""Make label PNGs of class ids from colour masks or from COCO's JSON.

python tools/convert_labels.py --masks SegmentationClass --colours labelmap.txt --output labels
python tools/convert_labels.py --masks masks --colours voc --class-names names.txt --output labels
python tools/convert_labels.py --coco instances.json --output labels
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import zsk  # noqa: F401, E402  isort: skip
from PIL import Image  # noqa: E402
from pycocotools.coco import COCO  # noqa: E402

from zsk.data.images import read_oriented_image  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.files import replacing  # noqa: E402
from zsk.vocabulary import Vocabulary, ignore_label, label_dtype  # noqa: E402

Colour = tuple[int, int, int]

VOC_BORDER = (224, 224, 192)
COLOURS_TOLD = 5


class Converted(NamedTuple):
    """One label: its path below the output folder without suffix, and (H,W) ids."""

    stem: str
    ids: np.ndarray


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make label PNGs of class ids for a split file.")
    add = parser.add_argument
    add("--masks", metavar="DIR", help="folder of colour masks (PNG), with --colours")
    add(
        "--colours",
        metavar="TABLE",
        help="CVAT's labelmap.txt (name:r,g,b::), a table with lines name,r,g,b, or voc: the "
        "colours of Pascal VOC and labelme in the order of --class-names",
    )
    add("--class-names", metavar="FILE", help="one name per line, for --colours voc")
    add("--coco", metavar="JSON", help="annotations with polygons or run-length masks")
    add("--background", action="store_true", help="with --coco: pixels without a mask are a class")
    add("--output", metavar="DIR", required=True, help="gets one label PNG per mask or photo")
    args = parser.parse_args(argv)
    if bool(args.masks) == bool(args.coco) or bool(args.masks) != bool(args.colours):
        parser.error("give --masks and --colours, or --coco")
    if (args.colours == "voc") != bool(args.class_names):
        parser.error("--colours voc and --class-names go together")
    return args


def colour_table(args: argparse.Namespace) -> dict[str, Colour]:
    """Class name → colour, in the order of the table."""
    table = Path(args.class_names if args.colours == "voc" else args.colours)
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{table} cannot be read ({error})") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if args.colours == "voc":
        # labelme's list begins with a name that has no colour
        names = [name for name in lines if name != "__ignore__"]
        return {name: voc_colour(k) for k, name in enumerate(names)}
    colours: dict[str, Colour] = {}
    for number, line in enumerate(lines):
        found = re.fullmatch(r"(.+?)[:,;\t ]+(\d+)[,;\t ]+(\d+)[,;\t ]+(\d+)(:.*)?", line)
        if found is None:
            if line.startswith("#") or number == 0:  # a heading
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


def from_colours(folder: Path, colours: dict[str, Colour]) -> Iterator[Converted]:
    """The masks of a folder and those below, as ids.

    Raises:
        UserError: there is no mask, or a mask has colours without a class: they are counted.
    """
    files = sorted(folder.rglob("*.png"))
    if not files:
        raise UserError(f"--masks {folder} holds no .png file")
    ids = {_packed(np.array(colour)): k for k, colour in enumerate(colours.values())}
    ids.setdefault(_packed(np.array(VOC_BORDER)), ignore_label(len(colours)))
    for file in files:
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
        stem = file.relative_to(folder).with_suffix("").as_posix()
        yield Converted(stem, table[positions].reshape(pixels.shape))


def _packed(colours: np.ndarray) -> np.ndarray:
    """(…,3) → (…): one number per colour."""
    return colours @ np.array([65536, 256, 1])


def load_coco(file: Path) -> tuple[COCO, list[str]]:
    """The annotations and the names of their categories in the order of their ids."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(file)
        names = [coco.cats[key]["name"] for key in sorted(coco.cats)]
    except (OSError, ValueError, TypeError, KeyError, AssertionError, RecursionError) as error:
        raise UserError(f"--coco {file} cannot be read as COCO's JSON ({error!r})") from error
    if not names or not coco.imgs:
        raise UserError(f"--coco {file} lists no categories or no images")
    if len(coco.cats) < len(coco.dataset["categories"]):
        raise UserError(f"--coco {file} gives one id to several categories: number them anew")
    lost = sum(len(found) for key, found in coco.imgToAnns.items() if key not in coco.imgs)
    if lost:
        raise UserError(
            f"--coco {file} has {lost} annotations of images that it does not list: compare "
            "image_id with the ids of the images"
        )
    return coco, names


def from_coco(coco: COCO, names: Sequence[str], background: bool) -> Iterator[Converted]:
    """One label per image; small masks lie on large ones, other pixels are no label.

    With `background` the last class has the other pixels.
    """
    ids = {category: k for k, category in enumerate(sorted(coco.cats))}
    rest = len(ids) if background else ignore_label(len(names))
    for key, image in coco.imgs.items():
        name = image.get("file_name", key)
        try:
            label = np.full((image["height"], image["width"]), rest, label_dtype(len(names)))
            masks = [(a, coco.annToMask(a) > 0) for a in coco.imgToAnns[key]]
            for annotation, mask in sorted(masks, key=lambda pair: -pair[1].sum()):
                label[mask] = ids[annotation["category_id"]]
            path = PurePosixPath(name)
        except Exception as error:  # whatever pycocotools stumbles over
            raise UserError(f"--coco: image {name} cannot be converted ({error!r})") from error
        if path.is_absolute() or ".." in path.parts:
            raise UserError(f"--coco: image {name} would be written outside of --output")
        yield Converted(path.with_suffix("").as_posix(), label)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_arguments(argv)
    if args.masks:
        colours = colour_table(args)
        names, labels = list(colours), from_colours(Path(args.masks), colours)
    else:
        coco, names = load_coco(Path(args.coco))
        names += ["background"] if args.background else []
        labels = from_coco(coco, names, args.background)
    Vocabulary.from_words(names)  # refuses names that occur twice
    output, written = Path(args.output), set()
    for label in labels:
        path = output / f"{label.stem}.png"
        if path in written or path.exists():
            raise UserError(f"{path} exists already: give an empty --output")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--output {output} cannot be written ({error.strerror})") from error
        with replacing(path) as unfinished:
            Image.fromarray(label.ids).save(unfinished)
        written.add(path)
    print(f"{len(written)} labels: {output}\nFor the split file; leave out what is no class:")
    print(f"classes: {json.dumps(names, ensure_ascii=False)}")
    values = {name: k for k, name in enumerate(names)}
    print(f"label_values: {json.dumps(values, ensure_ascii=False)}")


if __name__ == "__main__":
    run_cli(main)
