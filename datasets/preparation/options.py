"""Options, checks of counts and dry-run lines that the preparation programs share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection
from pathlib import Path

from zsk.data.builtin import datasets_root
from zsk.data.listing import LABEL_SUFFIX
from zsk.errors import UserError
from zsk.files import user_path

MOST_DEFAULT_WORKERS = 16  # our choice: with more, the disk is the bottleneck


def add_root(parser: argparse.ArgumentParser, folder: str, what: str) -> None:
    """Add --root, by default `folder` below the root of all data sets; `what` is there."""
    default = Path(datasets_root()) / folder
    told = f"folder {what} (default: %(default)s)"
    parser.add_argument("--root", type=user_path, default=default, help=told)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add --workers."""
    parser.add_argument(
        "--workers",
        type=int,
        default=min(os.cpu_count() or 1, MOST_DEFAULT_WORKERS),
        help="number of threads (default: one per CPU, at most 16; here %(default)s)",
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --workers, --strict and --dry-run."""
    add_workers(parser)
    parser.add_argument(
        "--strict",
        action="store_true",
        help="make a list of another length than the benchmark's an error instead of a warning",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be read and written, and write nothing",
    )


def check_count(what: object, found: int, expected: int, *, strict: bool) -> None:
    """Warn on stderr when a list is longer or shorter than the benchmark's own.

    Raises:
        UserError: it is, and `strict`.
    """
    if found == expected:
        return
    difference = f"{what}: {found:,} images, but the benchmark has {expected:,}"
    if strict:
        raise UserError(f"{difference}: complete the data, or leave out --strict for a subset")
    print(f"warning: {difference}; results on it are not the benchmark's", file=sys.stderr)


def describe_reading(part: str, number: int, source: object) -> None:
    """Print the dry run's line on what is read."""
    print(f"{part}: reads {number:,} labels of {source}")


def describe_writing(folder: Path, stems: Collection[str]) -> None:
    """Print the dry run's line on the labels that `folder` gets."""
    present = sum((folder / (stem + LABEL_SUFFIX)).exists() for stem in stems)
    print(f"    {folder}: {len(stems) - present:,} to write, {present:,} there already")
