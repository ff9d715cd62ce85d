#!/usr/bin/env python
"""Make label PNGs of class ids from colour masks or from COCO's JSON.

python tools/convert_labels.py --masks SegmentationClass --colours labelmap.txt --output labels
python tools/convert_labels.py --masks masks --colours voc --class-names names.txt --output labels
python tools/convert_labels.py --coco instances.json --output labels
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import zsk  # noqa: F401, E402  isort: skip
from coco_labels import from_coco, load_coco  # noqa: E402
from colour_labels import colour_table, files_left_out, from_colours, voc_colours  # noqa: E402
from PIL import Image  # noqa: E402

from zsk.data.splits import make_vocabulary  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.files import replacing  # noqa: E402


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make label PNGs of class ids for a split file.")
    add = parser.add_argument
    add("--masks", metavar="DIR", help="folder of colour masks, with --colours")
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
    if args.background and args.masks:
        parser.error("--background goes with --coco")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_arguments(argv)
    if args.masks:
        voc = args.colours == "voc"
        colours = voc_colours(Path(args.class_names)) if voc else colour_table(Path(args.colours))
        names, labels = list(colours), from_colours(Path(args.masks), colours)
    else:
        coco, names = load_coco(Path(args.coco))
        names += ["background"] if args.background else []
        labels = from_coco(coco, names, args.background)
    try:
        make_vocabulary(names, [])  # as the split file will
    except UserError as error:
        raise UserError(f"{args.coco or args.class_names or args.colours}: {error}") from error
    output, written = Path(args.output), set()
    for stem, ids in labels:
        path = output / f"{stem}.png"
        if path in written or path.exists():
            raise UserError(f"{path} exists already: give an empty --output")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--output {output} cannot be written ({error.strerror})") from error
        with replacing(path) as unfinished:
            Image.fromarray(ids).save(unfinished)
        written.add(path)
    others = files_left_out(Path(args.masks)) if args.masks else ""
    print(f"{len(written)} labels: {output}{f' (left out: {others} files)' if others else ''}")
    print("For the split file; leave out what is no class:")
    print(f"classes: {json.dumps(names, ensure_ascii=False)}")
    values = {name: k for k, name in enumerate(names)}
    print(f"label_values: {json.dumps(values, ensure_ascii=False)}")


if __name__ == "__main__":
    run_cli(main)
