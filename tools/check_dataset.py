#!/usr/bin/env python
"""Check a data set before training on it: every file is read, every problem is named.

python tools/check_dataset.py voc_zs_train voc_zs_val
python tools/check_dataset.py --split-file my_data/split.yaml --sheet output/sheet.png
python tools/check_dataset.py --images photos --labels labels --class-names "cat, sofa, wall"
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import zsk  # noqa: F401, E402  isort: skip  (first: makes Detectron2 importable)
from check_report import class_table, contact_sheet, notes  # noqa: E402
from dataset_check import DatasetCheck, check_dataset  # noqa: E402

from zsk.data.builtin import datasets_root, register_all  # noqa: E402
from zsk.data.check import split_metadata  # noqa: E402
from zsk.data.register import register_zero_shot_split  # noqa: E402
from zsk.data.split_file import register_split_file  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.files import replacing  # noqa: E402
from zsk.load import load_config  # noqa: E402
from zsk.vocabulary import IGNORE_LABEL, Vocabulary  # noqa: E402
from zsk.words import option_words  # noqa: E402

FOLDERS = "folders"  # name of the data set of --images and --labels
DATA_ERROR_EXIT_CODE = 1


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Check data sets: which classes they hold and what is wrong with their files.",
        epilog="Exit code: 0 when all is well, 1 when a data set has problems, 2 for a wrong call.",
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="registered data sets")
    add("--config-file", metavar="FILE", help="check its DATASETS.TRAIN and DATASETS.TEST")
    add("--split-file", metavar="FILE", help="check the data sets that it describes")
    add("--images", metavar="DIR", help="folder of photos, with --labels")
    add("--labels", metavar="DIR", help="folder of label PNGs, with --images")
    add("--class-names", metavar="NAMES", help="of ids 0, 1, …, between commas, or @FILE")
    add("--sheet", metavar="PNG", help="draw labels over photos; with several data sets one each")
    add("--sheet-photos", type=int, default=8, metavar="N", help="default: %(default)s")
    add("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="reading threads")
    args = parser.parse_args(argv)
    if bool(args.images) != bool(args.labels):
        parser.error("--images and --labels go together")
    if args.class_names and not args.images:
        parser.error("--class-names needs --images and --labels")
    if args.sheet_photos < 1 or args.workers < 1:
        parser.error("--sheet-photos and --workers have to be 1 or more")
    if args.sheet and not args.sheet.lower().endswith(".png"):
        parser.error(f"--sheet {args.sheet} has to end in .png")
    if not (args.names or args.config_file or args.split_file or args.images):
        parser.error(
            "name a data set, or give --config-file, --split-file or --images and --labels"
        )
    return args


def register(args: argparse.Namespace) -> list[str]:
    """Register the data sets of the arguments; returns the names to check, each once."""
    register_all(datasets_root())
    described: list[str] = []
    if args.config_file:
        cfg = load_config(args.config_file)
        described += [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST]
    if args.split_file:
        described += register_split_file(args.split_file)
    names: list[str] = args.names or described  # names select from the described data sets
    if args.images:
        for option, folder in (("--images", args.images), ("--labels", args.labels)):
            if not os.path.isdir(folder):
                raise UserError(f"{option} {folder} is not a folder")
        unnamed = [f"id {k}" for k in range(IGNORE_LABEL)]
        classes = option_words(args.class_names) if args.class_names else unnamed
        vocabulary = Vocabulary.from_words(classes)
        register_zero_shot_split(FOLDERS, args.images, args.labels, vocabulary, training=False)
        names = [*names, FOLDERS]
    if not names:
        raise UserError(f"config file {args.config_file} names no data set to check")
    for name in names:
        split_metadata(name)  # a wrong name is an error before an hour of reading
    return list(dict.fromkeys(names))


def report(check: DatasetCheck) -> None:
    print(f"\n{check.name}: {check.images:,} images\n")
    print(class_table(check))
    for note in notes(check):
        print(f"note: {note}")
    sys.stdout.flush()  # before the problems, which are on another stream
    for problem in check.problems:
        print(f"error: {problem}", file=sys.stderr)


def save_sheet(check: DatasetCheck, path: Path, photos: int) -> None:
    sheet = contact_sheet(check, photos)
    if sheet is None:
        print(f"{check.name} has no intact image: no sheet is drawn")
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished:
            sheet.save(unfinished)
    except (OSError, ValueError) as error:
        raise UserError(f"--sheet {path} cannot be written: {error}") from error
    print(f"{min(photos, len(check.intact))} photos with their labels: {path}")


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_arguments(argv)
    names = register(args)
    problems = 0
    for name in names:
        check = check_dataset(name, workers=args.workers)
        if name == FOLDERS:
            check.seen = None  # unknown
        report(check)
        problems += len(check.problems)
        if args.sheet:
            path = Path(args.sheet)
            if len(names) > 1:
                path = path.with_name(f"{path.stem}_{name}{path.suffix}")
            save_sheet(check, path, args.sheet_photos)
    found = "1 problem" if problems == 1 else f"{problems or 'no'} problems"
    print(f"\n{found} in {', '.join(names)}")
    return DATA_ERROR_EXIT_CODE if problems else 0


if __name__ == "__main__":
    run_cli(main)
