"""Prepares the validation labels of ADE20K's scene-parsing benchmark (150 classes).

Reads annotations/validation below the root and writes zsk/validation. Running it again continues
where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from preparation.evaluation_labels import prepare_evaluation_labels  # noqa: E402
from preparation.tables import ade20k_value_table  # noqa: E402

from zsk.data.builtin import datasets_root  # noqa: E402
from zsk.data.evaluation_sets import EVALUATION_SETS  # noqa: E402
from zsk.data.listing import LABEL_SUFFIX  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.files import user_path  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--root",
        type=user_path,
        default=Path(datasets_root()) / "ADEChallengeData2016",
        help="folder with annotations/validation (default: %(default)s)",
    )
    root: Path = parser.parse_args().root
    folder = root / "annotations" / "validation"
    sources = sorted(folder.glob("[!.]*" + LABEL_SUFFIX))
    if not sources:
        raise UserError(f"{folder} holds no label files: see datasets/README.md for the layout")
    classes = EVALUATION_SETS["ade20k_150"]
    target = root / "zsk" / "validation"
    print(prepare_evaluation_labels(sources, ade20k_value_table(), classes, target))


if __name__ == "__main__":
    run_cli(main)
