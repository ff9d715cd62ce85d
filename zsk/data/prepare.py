"""Turns a benchmark's label images into the project's own, once and offline.

The result holds joint ids 0..K-1 and 255, nothing else. Letters: H×W label image, K classes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from zsk.data.images import read_label
from zsk.data.listing import LABEL_SUFFIX
from zsk.data.splits import FORBIDDEN_VALUE
from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL, Vocabulary


@dataclass
class LabelCounts:
    """What a prepared folder holds: numbers of images and of pixels."""

    images: int = 0
    seen_pixels: int = 0
    unseen_pixels: int = 0
    images_without_seen: int = 0

    def add(self, joint: np.ndarray, vocabulary: Vocabulary) -> None:
        """Count one label map (H,W) uint8 of joint ids."""
        pixels = np.bincount(joint.ravel(), minlength=256)[: len(vocabulary)]
        seen = int(pixels[np.array(vocabulary.seen)].sum())
        self.images += 1
        self.seen_pixels += seen
        self.unseen_pixels += int(pixels.sum()) - seen
        self.images_without_seen += seen == 0


def to_joint_ids(values: np.ndarray, table: np.ndarray, source: Path) -> np.ndarray:
    """Replace a benchmark's file values by joint ids.

    Args:
        values: (H,W) uint8 as stored.
        table: (256,) int16 of `zsk.data.splits`: value → id, -1 where there is no such value.
        source: the file, for the message.

    Returns:
        (H,W) uint8, ids 0..K-1 and 255.

    Raises:
        UserError: naming the file and the value that the benchmark does not have.
    """
    present = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    unknown = present[table[present] == FORBIDDEN_VALUE]
    if unknown.size:
        raise UserError(
            f"label {source} holds the value {unknown[0]}, which the benchmark does not have: "
            "get the original label files"
        )
    return table[values].astype(np.uint8)


def prepare_labels(
    sources: Sequence[Path],
    table: np.ndarray,
    vocabulary: Vocabulary,
    *,
    joint_folder: Path,
    seen_folder: Path | None,
) -> LabelCounts:
    """Write `joint_folder`/<stem>.png for every source label, and the same with unseen ids as 255.

    Files that are there already are left alone, and every file appears under its name only when
    it is complete: an interrupted run is continued by running it again.

    Args:
        sources: label files of the benchmark.
        table: (256,) int16, file value → joint id (see `to_joint_ids`).
        vocabulary: the joint vocabulary.
        joint_folder: gets seen and unseen ids; made when missing.
        seen_folder: gets joint ids too, but 255 for every unseen class; None writes none.

    Returns:
        Counts over all sources, whether written now or before.

    Raises:
        UserError: naming the file, when a source is missing, unreadable, or holds colours or a
            value that the benchmark does not have.
    """
    unseen_to_ignore = np.arange(256, dtype=np.uint8)
    unseen_to_ignore[np.flatnonzero(~np.array(vocabulary.seen))] = IGNORE_LABEL
    for folder in (joint_folder, seen_folder):
        if folder is not None:
            _make_folder(folder)
    counts = LabelCounts()
    for source in tqdm(sources, desc=f"{joint_folder.parent.name}/{joint_folder.name}"):
        finished = joint_folder / (source.stem + LABEL_SUFFIX)
        if finished.exists():
            joint = read_label(finished)
        else:
            joint = to_joint_ids(read_label(source), table, source)
            _write_label(finished, joint)
        if seen_folder is not None and not (seen_folder / finished.name).exists():
            _write_label(seen_folder / finished.name, unseen_to_ignore[joint])
        counts.add(joint, vocabulary)
    return counts


def counts_table(rows: Iterable[tuple[str, LabelCounts]]) -> str:
    """A plain-text table, one line per prepared folder."""
    header = f"{'labels':<12}{'images':>9}{'seen px':>16}{'unseen px':>16}{'no seen px':>12}"
    lines = [
        f"{name:<12}{c.images:>9,}{c.seen_pixels:>16,}{c.unseen_pixels:>16,}"
        f"{c.images_without_seen:>12,}"
        for name, c in rows
    ]
    note = "no seen px: images without any pixel of a seen class; training keeps them"
    return "\n".join([header, *lines, note])


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _write_label(path: Path, labels: np.ndarray) -> None:
    """Write a PNG under a temporary name, then rename it: no reader meets half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        Image.fromarray(labels).save(temporary, format="PNG")
        os.replace(temporary, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(
        f"cannot write {path} ({error.strerror or error}): the data root has to be writable; "
        "a folder of links to the data will do (datasets/README.md)"
    )
