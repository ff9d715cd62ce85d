"""Converts the label files of data sets that are only evaluated on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from preparation.labels import prepare_labels

from zsk.data.label_files import read_label
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary


def prepare_evaluation_labels(
    sources: Sequence[Path],
    table: np.ndarray,
    classes: Vocabulary,
    folder: Path,
    read: Callable[[Path], np.ndarray] = read_label,
) -> str:
    """Write `folder`/<stem>.png with ids 0..K-1 and the ignore label for every source label.

    Finished files are left alone, as `prepare_labels` does it.

    Args:
        sources: label files of the data set.
        table: file value → id, -1 where the data set has no such value (see `to_joint_ids`).
        classes: the data set's K classes, all marked as seen.
        folder: made when missing.
        read: label file → (H,W) values.

    Returns:
        One line about all sources: images, scored pixels, images without any scored pixel.

    Raises:
        UserError: as in `prepare_labels`.
    """
    counts = prepare_labels(
        sources, table, classes, joint_folder=folder, seen_folder=None, read=read
    )
    return (
        f"{folder}: {counts.images:,} images, {counts.seen_pixels:,} scored pixels, "
        f"{counts.images_without_seen:,} images without any"
    )


def link_into(files: Mapping[str, Path], folder: Path) -> list[Path]:
    """Symbolic links `folder`/<stem><suffix> to files by stem; older links are replaced.

    For data sets whose photos and labels lie in many folders and do not share their stems. The
    links are relative, so that a data root that is moved stays whole.

    Args:
        files: stem → file.
        folder: made when missing.

    Returns:
        The links, in the order of `files`.

    Raises:
        UserError: naming the link, when it cannot be made or a file is in its place.
    """
    links = [folder / (stem + file.suffix) for stem, file in files.items()]
    link = folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # ".." counts from the real folder, which a link may lead to
        start = folder.resolve()
        for link, target in zip(links, files.values()):
            relative = os.path.relpath(target.resolve(), start)
            if link.is_symlink():
                if os.readlink(link) == relative:
                    continue
                link.unlink()
            link.symlink_to(relative)
    except OSError as error:
        raise UserError(
            f"cannot make the link {link} ({error.strerror or error}): the data root has to be "
            "writable; a folder of links to the data will do (datasets/README.md)"
        ) from error
    return links
