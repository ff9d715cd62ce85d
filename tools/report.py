#!/usr/bin/env python
"""One HTML page about one or several evaluations.

python tools/report.py output/…/inference/<data set>/metrics.json … -o DIR

Several metrics.json of one data set stand side by side. With --images and --predictions (one folder
of label PNGs per metrics.json, in their order) the page shows photo, ground truth and predictions;
photos and ground truth are the data set's; one of your own is described in --split-file.
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
from detectron2.data import DatasetCatalog  # noqa: E402

from zsk.errors import require  # noqa: E402  isort: skip

require("jinja2", "pip install jinja2")
from report_page.page import write_page  # noqa: E402
from report_page.photo_grid import GridRow, make_row  # noqa: E402
from report_page.saved import SavedEvaluation, read_evaluations  # noqa: E402
from tqdm import tqdm  # noqa: E402

from zsk.data.builtin import register_builtin  # noqa: E402
from zsk.data.split_file import register_split_file  # noqa: E402
from zsk.data.vocabularies import split_metadata  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.files import user_path, writable_folder  # noqa: E402


def shown_records(args: argparse.Namespace, evaluation: SavedEvaluation) -> list[dict[str, Any]]:
    """The evaluated data set's records of the photos in --images."""
    dataset = evaluation.dataset
    register_builtin()
    if args.split_file:
        register_split_file(args.split_file)
    try:
        names = split_metadata(dataset).vocabulary.names
    except UserError as error:
        raise UserError(
            f"{error}; name the file of your own data set in --split-file (evaluations of the "
            "commonest names show no photos)"
        ) from error
    if names != evaluation.vocabulary.names:
        raise UserError(
            f"the classes of {dataset} are not those of metrics.json, or stand in another order: "
            "give the split file of the evaluation"
        )
    records = {record["image_id"]: record for record in DatasetCatalog.get(dataset)}
    for name in args.images:
        if name not in records:
            raise UserError(
                f"--images: there is no photo {name!r} in {dataset}: give names without their "
                "ending, with the sub-folder where there is one"
            )
    return [records[name] for name in args.images]


def grid_rows(args: argparse.Namespace, evaluations: Sequence[SavedEvaluation]) -> list[GridRow]:
    """The photos of --images; none where it was not given."""
    if not args.images:
        for option, given in (("predictions", args.predictions), ("split-file", args.split_file)):
            if given:
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
    records = tqdm(shown_records(args, evaluations[0]), desc="photos", disable=None)
    return [make_row(record, args.predictions, evaluations[0].vocabulary) for record in records]


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
    parser.add_argument("--split-file", help="describes the data set, where it is your own")
    args = parser.parse_args()
    evaluations = read_evaluations(args.metrics)
    rows = grid_rows(args, evaluations)
    writable_folder(args.output, f"--output {args.output}")
    today = datetime.now(timezone.utc).date().isoformat()
    print(write_page(evaluations, rows, args.output, today))


if __name__ == "__main__":
    run_cli(main)
