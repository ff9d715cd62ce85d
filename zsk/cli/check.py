"""`zsk check`: every file of a data set is read, every problem is named."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from zsk.data.builtin import register_builtin
from zsk.data.check import shared_photos
from zsk.data.check_report import class_table, contact_sheet, notes
from zsk.data.full_check import DatasetCheck, check_dataset
from zsk.data.register import register_zero_shot_split
from zsk.data.split_file import register_split_file
from zsk.data.vocabularies import split_metadata
from zsk.errors import UserError
from zsk.files import replacing, user_path
from zsk.load import load_config
from zsk.vocabulary import IGNORE_LABEL, Vocabulary
from zsk.words import option_words

FOLDERS = "folders"  # name of the data set of --images and --labels


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Check data sets: which classes they hold and what is wrong with their files.",
        epilog="""examples:
  zsk check voc_zs_train voc_zs_val
  zsk check --split-file my_data/split.yaml --sheet output/sheet.png
  zsk check --images photos --labels labels --class-names "cat, sofa, wall"
exit code: 0 when all is well, 1 when a data set has problems, 2 for a wrong call""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
    register_builtin()
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
        folders = args.images, args.labels
        register_zero_shot_split(
            FOLDERS, *folders, vocabulary, training=False, evaluation_only=True
        )
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
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        sheet.save(unfinished, format="PNG")
    print(f"{min(photos, len(check.intact))} photos with their labels: {path}")


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_arguments(argv)
    names = register(args)
    problems = 0
    for name in names:
        check = check_dataset(name, workers=args.workers)
        report(check)
        problems += len(check.problems)
        if args.sheet:
            path = user_path(args.sheet)
            if len(names) > 1:
                path = path.with_name(f"{path.stem}_{name}{path.suffix}")
            save_sheet(check, path, args.sheet_photos)
    train = [name for name in names if split_metadata(name).training]
    if not problems:
        for remark in shared_photos(train, [name for name in names if name not in train]):
            print(f"note: {remark}")
    found = "1 problem" if problems == 1 else f"{problems or 'no'} problems"
    print(f"\n{found} in {', '.join(names)}")
    return 1 if problems else 0
