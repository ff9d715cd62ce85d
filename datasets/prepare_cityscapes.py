"""Prepares the validation labels of Cityscapes (19 classes).

Reads gtFine/val and leftImg8bit/val below the root. Writes zsk/val and, as links that carry the
labels' names and lie in one folder, zsk/val_photos. Running it again continues where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from preparation import options  # noqa: E402
from preparation.files import link_into  # noqa: E402
from preparation.labels import prepare_evaluation_labels  # noqa: E402
from preparation.tables import cityscapes_label_id_table, cityscapes_train_id_table  # noqa: E402

from zsk.errors import UserError, run_cli  # noqa: E402

IMAGES = 500
PHOTO_ENDING = "_leftImg8bit.png"
# labelIds files are in every download; labelTrainIds files are made from them by Cityscapes' tools
TABLES = {
    "_gtFine_labelIds.png": cityscapes_label_id_table,
    "_gtFine_labelTrainIds.png": cityscapes_train_id_table,
}


def find(folder: Path, ending: str) -> dict[str, Path]:
    """Files <folder>/<city>/<stem><ending> by stem, sorted."""
    return {path.name.removesuffix(ending): path for path in sorted(folder.glob("*/*" + ending))}


def check_pairs(photos: dict[str, Path], labels: dict[str, Path], root: Path) -> None:
    """Raise a UserError unless there are photos and labels, and they are of the same stems."""
    for folder, files, endings in (
        ("leftImg8bit", photos, (PHOTO_ENDING,)),
        ("gtFine", labels, TABLES),
    ):
        if not files:
            raise UserError(
                f"{root / folder / 'val'} holds no folder with files that end in "
                f"{' or '.join(endings)}: see datasets/README.md for the layout"
            )
    odd = sorted(photos.keys() ^ labels.keys())
    if odd:
        found, missing = (photos, "label") if odd[0] in photos else (labels, "photo")
        raise UserError(f"{found[odd[0]]} has no {missing}: get the complete archives")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    options.add_root(parser, "cityscapes", "with gtFine/val and leftImg8bit/val")
    root: Path = parser.parse_args().root
    photos = find(root / "leftImg8bit" / "val", PHOTO_ENDING)
    labels: dict[str, Path] = {}
    for ending, table in TABLES.items():
        labels = find(root / "gtFine" / "val", ending)
        if labels:
            break
    check_pairs(photos, labels, root)
    options.check_count(root / "leftImg8bit" / "val", len(photos), IMAGES, strict=False)
    link_into(photos, root / "zsk" / "val_photos")
    sources = link_into(labels, root / "zsk" / "val_originals")
    print(prepare_evaluation_labels(sources, table(), "cityscapes_19", root / "zsk" / "val"))


if __name__ == "__main__":
    run_cli(main)
