"""Prepares validation labels of ADE20K.

--classes 150, the scene-parsing benchmark: reads annotations/validation below the root and writes
zsk/validation. --classes 847, the full data set: reads images/ADE/validation and writes zsk/labels
and, as links beside each other, zsk/photos and zsk/originals. Running it again continues where it
stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from preparation.files import link_into  # noqa: E402
from preparation.labels import prepare_evaluation_labels  # noqa: E402
from preparation.options import check_count  # noqa: E402
from preparation.readers import read_object_classes  # noqa: E402
from preparation.tables import ade20k_847_value_table, counted_from_1  # noqa: E402

from zsk.data.builtin import datasets_root  # noqa: E402
from zsk.data.listing import LABEL_SUFFIX  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.files import user_path  # noqa: E402

IMAGES = 2000  # of both
FOLDERS = {150: "ADEChallengeData2016", 847: "ADE20K_2021_17_01"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--classes", type=int, choices=FOLDERS, default=150, help="default: %(default)s"
    )
    parser.add_argument(
        "--root",
        type=user_path,
        help="the data set's folder (default: ADEChallengeData2016 or ADE20K_2021_17_01 below "
        f"{datasets_root()})",
    )
    args = parser.parse_args()
    root: Path = args.root or Path(datasets_root()) / FOLDERS[args.classes]
    print(prepare_150(root) if args.classes == 150 else prepare_847(root))


def prepare_150(root: Path) -> str:
    """Write the labels of the benchmark; a line about them."""
    folder = root / "annotations" / "validation"
    sources = sorted(folder.glob("[!.]*" + LABEL_SUFFIX))
    if not sources:
        raise UserError(f"{folder} holds no label files: see datasets/README.md for the layout")
    check_count(folder, len(sources), IMAGES, strict=False)
    table, target = counted_from_1("ade20k_150"), root / "zsk" / "validation"
    return prepare_evaluation_labels(sources, table, "ade20k_150", target)


def prepare_847(root: Path) -> str:
    """Write the labels of the full data set, and link its photos; a line about them."""
    folder = root / "images" / "ADE" / "validation"
    photos = {path.stem: path for path in sorted(folder.glob("*/*/[!.]*.jpg"))}
    if not photos:
        raise UserError(
            f"{folder} holds no photos in folders of folders: see datasets/README.md for the layout"
        )
    check_count(folder, len(photos), IMAGES, strict=False)
    labels = {stem: path.with_name(f"{stem}_seg.png") for stem, path in photos.items()}
    for stem, label in labels.items():
        if not label.exists():
            raise UserError(f"{photos[stem]} has no label {label.name}: get the complete archive")
    link_into(photos, root / "zsk" / "photos")
    sources = link_into(labels, root / "zsk" / "originals")
    table, target = ade20k_847_value_table(), root / "zsk" / "labels"
    return prepare_evaluation_labels(sources, table, "ade20k_847", target, read_object_classes)


if __name__ == "__main__":
    run_cli(main)
