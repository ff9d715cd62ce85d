#!/usr/bin/env python
"""One HTML page about one or several evaluations.

python tools/report.py output/…/inference/<data set>/metrics.json … -o DIR

Several metrics.json of one data set stand side by side. With --images and --predictions (one folder
of label PNGs per metrics.json, in their order) the page shows photo, ground truth and predictions;
photos and ground truth are the data set's, or lie in --photos and --labels.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import zsk  # noqa: F401, E402  isort: skip  (first: makes Detectron2 importable)
from detectron2.data import DatasetCatalog, MetadataCatalog  # noqa: E402

from zsk.errors import require  # noqa: E402  isort: skip

require("jinja2", "pip install jinja2")
from report_page.page import write_page  # noqa: E402
from report_page.photo_grid import GridRow, make_row  # noqa: E402
from report_page.saved import SavedEvaluation, read_evaluations  # noqa: E402
from tqdm import tqdm  # noqa: E402

from zsk.data.builtin import register_builtin  # noqa: E402
from zsk.data.vocabularies import split_metadata  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.files import user_path, writable_folder  # noqa: E402


def data_folders(args: argparse.Namespace, dataset: str) -> tuple[Path, Path, dict[str, Any]]:
    """Where photos and ground truth lie, and how this is read: as a registered data set's is."""
    if dataset not in DatasetCatalog:
        register_builtin()
    if args.photos is None or args.labels is None:
        try:
            split_metadata(dataset)
        except UserError as error:
            raise UserError(f"{error}; or give both --photos and --labels") from error
    metadata = MetadataCatalog.get(dataset)
    photos = metadata.image_root if args.photos is None else args.photos
    labels = metadata.sem_seg_root if args.labels is None else args.labels
    how: dict[str, Any] = {"label_orientation": "displayed"}
    if dataset in DatasetCatalog:
        how = {key: metadata.get(key) for key in ("label_values", "label_orientation")}
    return Path(photos), Path(labels), how


def grid_rows(args: argparse.Namespace, evaluations: Sequence[SavedEvaluation]) -> list[GridRow]:
    """The photos of --images; none where it was not given."""
    if not args.images:
        for option in ("predictions", "photos", "labels"):
            if getattr(args, option):
                raise UserError(f"--{option} has no use without --images: name the photos to show")
        return []
    if any(evaluation.seen_only for evaluation in evaluations):
        raise UserError(
            "--images is for evaluations of all names: the names of a seen_only/metrics.json are "
            "not those of the predictions and of the ground truth"
        )
    if len(args.predictions) != len(evaluations):
        raise UserError(
            f"--images needs one folder in --predictions for each of the {len(evaluations)} "
            f"metrics.json, in their order, but {len(args.predictions)} were given"
        )
    if len({evaluation.task for evaluation in evaluations}) > 1:
        raise UserError(
            "--images shows one data set's photos, but the metrics.json are of different data sets "
            "or classes: make a page for each"
        )
    photos, labels, how = data_folders(args, evaluations[0].dataset)
    vocabulary = evaluations[0].vocabulary
    images = tqdm(args.images, desc="photos", disable=None)
    return [make_row(name, photos, labels, args.predictions, vocabulary, how) for name in images]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write an HTML page about evaluations.")
    parser.add_argument("metrics", nargs="+", help="metrics.json of an evaluation")
    parser.add_argument(
        "-o", "--output", required=True, type=user_path, help="folder for the page and its PNGs"
    )
    parser.add_argument("--images", nargs="+", default=[], help="photos to show, without ending")
    parser.add_argument(
        "--predictions", nargs="+", default=[], type=user_path, help="folders of <image>.png"
    )
    parser.add_argument(
        "--photos", type=user_path, help="folder of the photos (default: the data set's)"
    )
    parser.add_argument(
        "--labels",
        type=user_path,
        help="folder of the ground truth, in files like those of the data set or, where it is not "
        "one of datasets/README.md, of ids of its classes (default: the data set's)",
    )
    args = parser.parse_args()
    evaluations = read_evaluations(args.metrics)
    rows = grid_rows(args, evaluations)
    writable_folder(args.output, f"--output {args.output}")
    today = datetime.now(timezone.utc).date().isoformat()
    print(write_page(evaluations, rows, args.output, today))


if __name__ == "__main__":
    run_cli(main)
