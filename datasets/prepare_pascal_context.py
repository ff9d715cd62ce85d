"""Prepares the validation labels of Pascal Context (59 classes).

Reads SegmentationClassContext and ImageSets/SegmentationContext/val.txt below the root and writes
zsk/val. Running it again continues where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from preparation.evaluation_labels import prepare_evaluation_labels  # noqa: E402
from preparation.tables import pascal_context_value_table  # noqa: E402

from zsk.data.builtin import datasets_root  # noqa: E402
from zsk.data.evaluation_sets import EVALUATION_SETS  # noqa: E402
from zsk.data.listing import LABEL_SUFFIX, read_stems  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.files import user_path  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--root",
        type=user_path,
        default=Path(datasets_root()) / "VOC2010",
        help="folder with SegmentationClassContext and ImageSets (default: %(default)s)",
    )
    root: Path = parser.parse_args().root
    folder = root / "SegmentationClassContext"
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist: see datasets/README.md for the layout")
    stems = read_stems(root / "ImageSets" / "SegmentationContext" / "val.txt")
    sources = [folder / (stem + LABEL_SUFFIX) for stem in stems]
    classes = EVALUATION_SETS["pascal_context_59"]
    target = root / "zsk" / "val"
    print(prepare_evaluation_labels(sources, pascal_context_value_table(), classes, target))


if __name__ == "__main__":
    run_cli(main)
