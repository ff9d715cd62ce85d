"""Prepares Pascal VOC 2012's augmented labels for zero-shot training and testing.

Reads SegmentationClassAug, train.txt and val.txt below the root; writes zsk/train_seen, zsk/train
and zsk/val. With --sbd, first builds the former three from VOC's SegmentationClass and ImageSets
and from SBD. Running it again continues where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from preparation import options  # noqa: E402
from preparation.labels import prepare_parts  # noqa: E402
from preparation.tables import counted_from_1  # noqa: E402
from preparation.voc_augmented import (  # noqa: E402
    AUGMENTED_FOLDER,
    AugmentedSet,
    build_augmented_set,
    find_augmented_set,
)

from zsk.data.listing import LABEL_SUFFIX, read_stems  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.files import user_path  # noqa: E402

IMAGES = {"train": 10_582, "val": 1_449}


def main() -> None:
    args = parse_arguments()
    root: Path = args.root
    augmented = None if args.sbd is None else find_augmented_set(root, args.sbd)
    stems = read_lists(root) if augmented is None else augmented.stems
    for part, expected in IMAGES.items():
        options.check_count(root / f"{part}.txt", len(stems[part]), expected, strict=args.strict)
    if augmented is not None:
        if args.dry_run:
            describe(augmented)
        else:
            build_augmented_set(augmented, workers=args.workers)
    folder = root / AUGMENTED_FOLDER
    labels = {part: [folder / (stem + LABEL_SUFFIX) for stem in stems[part]] for part in IMAGES}
    prepare_parts(labels, "voc", counted_from_1("voc"), args)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    options.add_root(
        parser,
        "VOC2012",
        "with SegmentationClassAug, train.txt and val.txt, or, with --sbd, with SegmentationClass "
        "and ImageSets",
    )
    parser.add_argument(
        "--sbd",
        type=user_path,
        metavar="DIR",
        help="SBD's folder benchmark_RELEASE: build SegmentationClassAug, train.txt and val.txt",
    )
    options.add_options(parser)
    return parser.parse_args()


def read_lists(root: Path) -> dict[str, list[str]]:
    """The stems of train.txt and val.txt, whose labels all have to be there."""
    folder = root / AUGMENTED_FOLDER
    if not folder.is_dir():
        raise UserError(
            f"{folder} does not exist: build it from VOC and SBD with --sbd, or see "
            "datasets/README.md for the layout"
        )
    stems = {}
    for part in IMAGES:
        listed_in = root / f"{part}.txt"
        stems[part] = read_stems(listed_in)
        labels = [folder / (stem + LABEL_SUFFIX) for stem in stems[part]]
        missing = [label for label in labels if not label.exists()]
        if missing:
            raise UserError(
                f"label {missing[0]} does not exist, but {listed_in} lists it ({len(missing):,} of "
                f"{len(labels):,} are missing): complete the data (datasets/README.md)"
            )
    return stems


def describe(augmented: AugmentedSet) -> None:
    """Print what would be read and written for the augmented set."""
    for folder in sorted({source.parent for source in augmented.sources.values()}):
        number = sum(source.parent == folder for source in augmented.sources.values())
        options.describe_reading(AUGMENTED_FOLDER, number, folder)
    options.describe_writing(augmented.folder, augmented.sources)
    for part, stems in augmented.stems.items():
        path = augmented.root / f"{part}.txt"
        state = "there already" if path.exists() else "to write"
        print(f"    {path}: {len(stems):,} images, {state}")


if __name__ == "__main__":
    run_cli(main)
