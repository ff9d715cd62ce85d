#!/usr/bin/env python
"""One table of open-vocabulary results: systems by data sets, mIoU in percent.

python tools/open_vocabulary.py OUTPUT_DIR …

Each folder is the OUTPUT_DIR of an evaluation on the data sets of configs/open-vocabulary/, or on
some of them. The rows below are what papers report of systems that were trained on COCO, too.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import zsk  # noqa: F401, E402  isort: skip  (first: makes Detectron2 importable)
from report_page.saved import SavedEvaluation, read_evaluations  # noqa: E402
from tabulate import tabulate  # noqa: E402

from zsk.data.splits import EVALUATION_SETS, get_split  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.evaluation.report import METRICS_FILE  # noqa: E402
from zsk.files import user_path  # noqa: E402
from zsk.protocol import INDUCTIVE  # noqa: E402

# column -> data set, and how many validation photos it has; both numbers are in use for the second
COLUMNS = {
    "A-847": ("ade20k_847_val", (2000,)),
    "PC-459": ("pascal_context_459_val", (5104, 5105)),
    "A-150": ("ade20k_150_val", (2000,)),
    "PC-59": ("pascal_context_59_val", (5104, 5105)),
    "PAS-20": ("voc_zs_val", (1449,)),
    "PAS-20b": ("voc_20b_val", (1449,)),
}
TRAINED_ON = ["coco_stuff_supervised_train"]  # with DATASETS.TRAIN of others, a row says so
REPORTED = {
    "SAN, ViT-B/16": (10.1, 12.6, 27.5, 53.8, 94.0, None),
    "SAN, ViT-L/14": (12.4, 15.7, 32.1, 57.7, 94.6, None),
    "CAT-Seg, ViT-B/16": (12.0, 19.0, 31.8, 57.5, 94.6, 77.3),
    "CAT-Seg, ViT-L/14": (16.0, 23.8, 37.9, 63.3, 97.0, 82.5),
    "FC-CLIP, ConvNeXt-L": (14.8, 18.2, 34.1, 58.4, 95.4, None),
    "MAFT+, ConvNeXt-B": (13.8, 16.2, 34.6, 57.5, 95.4, None),
    "MAFT+, ConvNeXt-L": (15.1, 21.6, 36.1, 59.4, 96.5, None),
}
NOTE = (
    "Reported rows are from the systems' papers, not measured here. All were trained on the 171 "
    "classes of COCO-Stuff, FC-CLIP on COCO's panoptic masks. Of Pascal VOC, PAS-20 has the 20 "
    "classes and PAS-20b the background besides. A-847 is scored here at the photos' own size, by "
    "MaskFormer's preparation on photos and labels of 512 pixels at most along the shorter side."
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Print a table of open-vocabulary results.")
    parser.add_argument("folders", nargs="*", type=user_path, metavar="OUTPUT_DIR")
    rows = [row_of(folder) for folder in parser.parse_args().folders]
    rows += [
        [f"{system} (reported)", *("-" if value is None else f"{value:.1f}" for value in values)]
        for system, values in REPORTED.items()
    ]
    sides = ["left", *("right" for _ in COLUMNS)]
    head = ["system", *COLUMNS]
    print(tabulate(rows, head, tablefmt="pipe", colalign=sides, disable_numparse=True))
    print(f"\n{NOTE}")


def row_of(folder: Path) -> list[str]:
    """The name of the folder and a text for each column.

    Raises:
        UserError: the folder has no evaluation of these data sets, or one is of other classes.
    """
    files = {
        column: folder / "inference" / dataset / METRICS_FILE
        for column, (dataset, _) in COLUMNS.items()
    }
    if not any(file.exists() for file in files.values()):
        raise UserError(
            f"{folder} has no evaluation of these data sets: give the OUTPUT_DIR of "
            "`train_net.py --eval-only` with a configuration of configs/open-vocabulary"
        )
    cells = [
        cell(column, *read_evaluations([file]), folder) if file.exists() else "-"
        for column, file in files.items()
    ]
    return [folder.resolve().name, *cells]


def cell(column: str, evaluation: SavedEvaluation, folder: Path) -> str:
    """mIoU, with what keeps it from standing beside the reported ones."""
    dataset, counts = COLUMNS[column]
    name = dataset.removesuffix("_val")
    classes = get_split(name if name in EVALUATION_SETS else "voc")
    if evaluation.vocabulary.names != classes.names:
        raise UserError(f"the evaluation of {dataset} in {folder} has other classes")
    notes = [] if evaluation.images in counts else [f"{evaluation.images} of {counts[0]} photos"]
    notes += [] if evaluation.protocol == INDUCTIVE else [evaluation.protocol]
    trained_on = evaluation.provenance.get("trained_on", ["a training that is not noted"])
    notes += [] if trained_on == TRAINED_ON else [f"trained on {', '.join(trained_on)}"]
    value = evaluation.metrics.get("mIoU")
    text = "-" if value is None else f"{value:.1f}"
    return f"{text} ({', '.join(notes)})" if notes else text


if __name__ == "__main__":
    run_cli(main)
