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

from preparation import options  # noqa: E402
from preparation.labels import prepare_parts  # noqa: E402
from preparation.tables import coco_stuff_value_table  # noqa: E402

from zsk.data.listing import LABEL_SUFFIX  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402

IMAGES = {"train2017": 118_287, "val2017": 5_000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    options.add_root(parser, "coco", "with stuffthingmaps/{train2017,val2017}")
    options.add_options(parser)
    args = parser.parse_args()
    labels = find_labels(args.root / "stuffthingmaps")
    for part, sources in labels.items():
        options.check_count(sources[0].parent, len(sources), IMAGES[part], strict=args.strict)
    prepare_parts(labels, "coco_stuff", coco_stuff_value_table(), args)


def find_labels(folder: Path) -> dict[str, list[Path]]:
    """The label files of each part that is there, sorted."""
    labels = {part: sorted((folder / part).glob("[!.]*" + LABEL_SUFFIX)) for part in IMAGES}
    present = {part: files for part, files in labels.items() if files}
    if not present:
        raise UserError(
            f"{folder} holds no label files in train2017 or val2017: "
            "see datasets/README.md for the layout"
        )
    return present


if __name__ == "__main__":
    run_cli(main)
