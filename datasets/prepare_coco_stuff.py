"""Prepares COCO-Stuff 164k's labels for zero-shot training and testing.

Reads stuffthingmaps/train2017 and stuffthingmaps/val2017 below the root, whichever is there; writes
zsk/train2017_seen, zsk/train2017 and zsk/val2017. Running it again continues where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from zsk.data.listing import LABEL_SUFFIX  # noqa: E402
from zsk.data.prepare import counts_table, prepare_labels  # noqa: E402
from zsk.data.register import datasets_root  # noqa: E402
from zsk.data.splits import coco_stuff_value_table, get_split  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(datasets_root()) / "coco",
        help="folder with stuffthingmaps/{train2017,val2017} (default: %(default)s)",
    )
    root: Path = parser.parse_args().root
    rows = []
    for part in ("train2017", "val2017"):
        sources = sorted((root / "stuffthingmaps" / part).glob("[!.]*" + LABEL_SUFFIX))
        if not sources:
            continue
        counts = prepare_labels(
            sources,
            coco_stuff_value_table(),
            get_split("coco_stuff"),
            joint_folder=root / "zsk" / part,
            seen_folder=root / "zsk" / "train2017_seen" if part == "train2017" else None,
        )
        rows.append((part, counts))
    if not rows:
        raise UserError(
            f"{root / 'stuffthingmaps'} holds no label files in train2017 or val2017: "
            "see datasets/README.md for the layout"
        )
    print(counts_table(rows))


if __name__ == "__main__":
    run_cli(main)
