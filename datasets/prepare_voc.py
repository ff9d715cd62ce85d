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
from preparation.labels import counts_table, prepare_labels  # noqa: E402
from preparation.tables import counted_from_1  # noqa: E402
from preparation.voc_augmented import (  # noqa: E402
    AUGMENTED_FOLDER,
    AugmentedSet,
    build_augmented_set,
    find_augmented_set,
)

from zsk.data.listing import LABEL_SUFFIX, read_stems  # noqa: E402
from zsk.data.splits import get_split  # noqa: E402
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
    if args.dry_run:
        describe(root, stems, augmented)
        return
    if augmented is not None:
        build_augmented_set(augmented, workers=args.workers)
    rows = []
    for part in IMAGES:
        joint_folder, seen_folder = output_folders(root, part)
        counts = prepare_labels(
            [root / AUGMENTED_FOLDER / (stem + LABEL_SUFFIX) for stem in stems[part]],
            counted_from_1("voc"),
            get_split("voc"),
            joint_folder=joint_folder,
            seen_folder=seen_folder,
            workers=args.workers,
        )
        rows.append((part, counts))
    print(counts_table(rows))


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
        options.require_files([folder / (stem + LABEL_SUFFIX) for stem in stems[part]], listed_in)
    return stems


def output_folders(root: Path, part: str) -> tuple[Path, Path | None]:
    """Where a part's labels of all classes go, and those of the seen classes only."""
    return root / "zsk" / part, root / "zsk" / "train_seen" if part == "train" else None


def describe(root: Path, stems: dict[str, list[str]], augmented: AugmentedSet | None) -> None:
    """Print what would be read and written."""
    if augmented is not None:
        for folder in sorted({source.parent for source in augmented.sources.values()}):
            number = sum(source.parent == folder for source in augmented.sources.values())
            options.describe_reading(AUGMENTED_FOLDER, number, folder)
        options.describe_writing(augmented.folder, augmented.sources)
        for part in IMAGES:
            state = "there already" if (root / f"{part}.txt").exists() else "to write"
            print(f"    {root / part}.txt: {len(stems[part]):,} images, {state}")
    for part in IMAGES:
        options.describe_reading(part, len(stems[part]), root / AUGMENTED_FOLDER)
        for folder in output_folders(root, part):
            options.describe_writing(folder, stems[part])
    print(options.DRY_RUN_NOTE)


if __name__ == "__main__":
    run_cli(main)
