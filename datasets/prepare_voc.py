"""Prepares Pascal VOC 2012's augmented labels for zero-shot training and testing.

Reads SegmentationClassAug, train.txt and val.txt below the root; writes zsk/train_seen, zsk/train
and zsk/val. Running it again continues where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from zsk.data.listing import LABEL_SUFFIX, read_stems  # noqa: E402
from zsk.data.prepare import counts_table, prepare_labels  # noqa: E402
from zsk.data.register import datasets_root  # noqa: E402
from zsk.data.splits import get_split, voc_value_table  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(datasets_root()) / "VOC2012",
        help="folder with SegmentationClassAug, train.txt and val.txt (default: %(default)s)",
    )
    root: Path = parser.parse_args().root
    source_folder = root / "SegmentationClassAug"
    if not source_folder.is_dir():
        raise UserError(f"{source_folder} does not exist: see datasets/README.md for the layout")
    rows = []
    for part in ("train", "val"):
        stems = read_stems(root / f"{part}.txt")
        counts = prepare_labels(
            [source_folder / (stem + LABEL_SUFFIX) for stem in stems],
            voc_value_table(),
            get_split("voc"),
            joint_folder=root / "zsk" / part,
            seen_folder=root / "zsk" / "train_seen" if part == "train" else None,
        )
        rows.append((part, counts))
    print(counts_table(rows))


if __name__ == "__main__":
    run_cli(main)
