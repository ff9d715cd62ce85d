"""Converts a benchmark's label files to joint ids 0..K-1 and 255.

Letters: H×W label image, K classes.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from preparation import options
from preparation.files import make_folder, write_png
from preparation.parallel import map_files
from preparation.tables import to_joint_ids

from zsk.data.label_files import read_label
from zsk.data.listing import LABEL_SUFFIX
from zsk.data.splits import get_split
from zsk.vocabulary import IGNORE_LABEL, Vocabulary


class LabelCounts(NamedTuple):
    """What a prepared folder holds: numbers of images and of pixels."""

    images: int = 0
    seen_pixels: int = 0
    unseen_pixels: int = 0
    images_without_seen: int = 0


def prepare_labels(
    sources: Sequence[Path],
    table: np.ndarray,
    split: str,
    *,
    joint_folder: Path,
    seen_folder: Path | None = None,
    workers: int = 1,
    read: Callable[[Path], np.ndarray] = read_label,
) -> LabelCounts:
    """Write `joint_folder`/<stem>.png for every source label, and the same with unseen ids as 255.

    Files that are there already are left alone, and every file appears under its name only when
    it is complete: an interrupted run is continued by running it again.

    Args:
        sources: label files of the benchmark.
        table: file value → joint id (see `to_joint_ids`).
        split: see `get_split`.
        joint_folder: gets seen and unseen ids; made when missing.
        seen_folder: gets joint ids too, but 255 for every unseen class; None writes none.
        workers: number of threads.
        read: label file → (H,W) values.

    Returns:
        Counts over all sources, whether written now or before.

    Raises:
        UserError: naming the file, when a source is missing, unreadable, or holds colours or a
            value that the benchmark does not have.
    """
    for folder in (joint_folder, seen_folder):
        if folder is not None:
            make_folder(folder)
    prepare = functools.partial(
        _prepare_label,
        table=table,
        vocabulary=get_split(split),
        joint_folder=joint_folder,
        seen_folder=seen_folder,
        read=read,
    )
    description = f"{joint_folder.parent.name}/{joint_folder.name}"
    counts = map_files(prepare, sources, workers=workers, description=description)
    return LabelCounts(*map(sum, zip(*counts)))


def prepare_evaluation_labels(
    sources: Sequence[Path],
    table: np.ndarray,
    split: str,
    folder: Path,
    read: Callable[[Path], np.ndarray] = read_label,
) -> str:
    """`prepare_labels` for one of EVALUATION_SETS; a line about all sources."""
    counts = prepare_labels(sources, table, split, joint_folder=folder, read=read)
    return (
        f"{folder}: {counts.images:,} images, {counts.seen_pixels:,} scored pixels, "
        f"{counts.images_without_seen:,} images without any"
    )


def prepare_parts(
    parts: Mapping[str, Sequence[Path]], split: str, table: np.ndarray, args: argparse.Namespace
) -> None:
    """Write labels below args.root/zsk and print their counts; in a dry run what would be done.

    Args:
        parts: name → label files. Of training parts there are labels of the seen classes alone,
            too, in the folder <part>_seen.
        split: see `get_split`.
        table: file value → joint id (see `to_joint_ids`).
        args: of `preparation.options.add_options`.
    """
    lines = [f"{'labels':<12}{'images':>9}{'seen px':>16}{'unseen px':>16}{'no seen px':>12}"]
    for part, sources in parts.items():
        folder = args.root / "zsk" / part
        seen_folder = folder.with_name(f"{part}_seen") if part.startswith("train") else None
        if args.dry_run:
            options.describe_reading(part, len(sources), sources[0].parent)
            for written in filter(None, (folder, seen_folder)):
                options.describe_writing(written, [source.stem for source in sources])
            continue
        folders = {"joint_folder": folder, "seen_folder": seen_folder}
        c = prepare_labels(sources, table, split, **folders, workers=args.workers)
        lines.append(
            f"{part:<12}{c.images:>9,}{c.seen_pixels:>16,}{c.unseen_pixels:>16,}"
            f"{c.images_without_seen:>12,}"
        )
    lines.append("no seen px: images without any pixel of a seen class; training keeps them")
    print("dry run: nothing was written" if args.dry_run else "\n".join(lines))


def _prepare_label(
    source: Path,
    *,
    table: np.ndarray,
    vocabulary: Vocabulary,
    joint_folder: Path,
    seen_folder: Path | None,
    read: Callable[[Path], np.ndarray],
) -> LabelCounts:
    """Write what `prepare_labels` writes for one source, as far as it is missing."""
    finished = joint_folder / (source.stem + LABEL_SUFFIX)
    if finished.exists():
        joint = read_label(finished)
    else:
        joint = to_joint_ids(read(source), table, source)
        write_png(finished, joint)
    if seen_folder is not None and not (seen_folder / finished.name).exists():
        unseen_ids = np.flatnonzero(~np.array(vocabulary.seen))
        write_png(
            seen_folder / finished.name,
            np.where(np.isin(joint, unseen_ids), np.uint8(IGNORE_LABEL), joint),
        )
    pixels = np.bincount(joint.ravel(), minlength=len(vocabulary))[: len(vocabulary)]
    seen = int(pixels[np.array(vocabulary.seen)].sum())
    return LabelCounts(1, seen, int(pixels.sum()) - seen, int(seen == 0))
