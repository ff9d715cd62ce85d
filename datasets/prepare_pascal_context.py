"""Prepares the validation labels of Pascal Context.

Reads ImageSets/SegmentationContext/val.txt below the root. --classes 59 reads
SegmentationClassContext and writes zsk/val; --classes 459 reads trainval and writes zsk/val_459.
Running it again continues where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from preparation import options  # noqa: E402
from preparation.labels import prepare_evaluation_labels  # noqa: E402
from preparation.readers import read_label_map  # noqa: E402
from preparation.tables import counted_from_1  # noqa: E402

from zsk.data.label_files import read_label  # noqa: E402
from zsk.data.listing import read_stems  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402

IMAGES = 5104, 5105  # two lists are in use
# classes -> folder and ending of the labels, their reader, and where they go
SOURCES = {
    59: ("SegmentationClassContext", ".png", read_label, "val"),
    459: ("trainval", ".mat", read_label_map, "val_459"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--classes", type=int, choices=SOURCES, default=59, help="default: %(default)s"
    )
    options.add_root(parser, "VOC2010", "with ImageSets and the labels")
    args = parser.parse_args()
    root: Path = args.root
    name, ending, read, target = SOURCES[args.classes]
    folder = root / name
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist: see datasets/README.md for the layout")
    listed = root / "ImageSets" / "SegmentationContext" / "val.txt"
    stems = read_stems(listed)
    if len(stems) not in IMAGES:
        options.check_count(listed, len(stems), IMAGES[0], strict=False)
    sources = [folder / (stem + ending) for stem in stems]
    split = f"pascal_context_{args.classes}"
    table = counted_from_1(split)
    print(prepare_evaluation_labels(sources, table, split, root / "zsk" / target, read))


if __name__ == "__main__":
    run_cli(main)
