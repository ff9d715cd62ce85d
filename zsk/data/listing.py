"""Pairs up photos and label images on disk, by their stems."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zsk.errors import UserError

LABEL_SUFFIX = ".png"


class Listing(NamedTuple):
    """The records that have both files, and a sentence for every file that lacks its partner."""

    records: list[dict[str, Any]]
    mismatches: list[str]


def list_records(
    image_root: str,
    label_root: str,
    *,
    file_list: str | None,
    image_suffixes: Sequence[str],
    label_values: tuple[int, ...] | None = None,
    advice: str = "",
) -> list[dict[str, Any]]:
    """The records of a data set whose files all pair up, sorted by stem: see `match_files`.

    Raises:
        UserError: as `match_files`, and with the first mismatch where there is one.
    """
    listing = match_files(
        image_root,
        label_root,
        file_list=file_list,
        image_suffixes=image_suffixes,
        label_values=label_values,
        advice=advice,
    )
    if listing.mismatches:
        raise UserError(listing.mismatches[0])
    return listing.records


def match_files(
    image_root: str,
    label_root: str,
    *,
    file_list: str | None,
    image_suffixes: Sequence[str],
    label_values: tuple[int, ...] | None = None,
    advice: str = "",
) -> Listing:
    """Pair the photos and labels of two folders by their stems. Opens no image.

    Args:
        image_root: folder of the photos.
        label_root: folder of the label PNGs.
        file_list: text file of the stems to list; None lists all, which then have to pair up.
        image_suffixes: endings, in lower case, of the photos.
        label_values: goes into every record as it is; see `zsk.data.labels.read_joint_label`.
        advice: what to do about missing files, for the messages.

    Returns:
        records, sorted by stem: {"file_name": str, "sem_seg_file_name": str, "image_id": str (the
        stem)}; and the mismatches in the same order.

    Raises:
        UserError: naming the file or folder, when a folder is missing or holds nothing fitting, two
            files share a stem, or the list cannot be read.
    """
    hint = f": {advice}" if advice else ""
    images = _files_by_stem(image_root, image_suffixes, "photos", hint)
    labels = _files_by_stem(label_root, (LABEL_SUFFIX,), "labels", hint)
    if file_list is None:
        stems = sorted(images.keys() | labels.keys())
    else:
        stems = sorted(read_stems(file_list))
    endings = " or ".join(image_suffixes)
    extra = {} if label_values is None else {"label_values": label_values}
    listing = Listing([], [])
    for stem in stems:
        if stem not in images:
            wanted_by = f"label {labels[stem]}" if file_list is None else f"{stem!r} in {file_list}"
            listing.mismatches.append(
                f"{wanted_by} has no image {stem} ({endings}) in {image_root}{hint}"
            )
        elif stem not in labels:
            missing = os.path.join(label_root, stem + LABEL_SUFFIX)
            listing.mismatches.append(f"image {images[stem]} has no label {missing}{hint}")
        else:
            files = {"file_name": images[stem], "sem_seg_file_name": labels[stem]}
            listing.records.append({**files, "image_id": stem, **extra})
    return listing


def read_stems(file_list: str | os.PathLike[str]) -> list[str]:
    """The stems that a text file lists, one per line, blank lines aside.

    Raises:
        UserError: naming the file, when it is missing or empty, or names a stem twice.
    """
    try:
        lines = Path(file_list).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the list of images {file_list} cannot be read ({error})") from error
    stems = [line.strip() for line in lines if line.strip()]
    if not stems:
        raise UserError(f"the list of images {file_list} is empty: it needs one stem per line")
    known: set[str] = set()
    for stem in stems:
        if stem in known:
            raise UserError(f"the list of images {file_list} names {stem!r} twice")
        known.add(stem)
    return stems


def _files_by_stem(folder: str, suffixes: Sequence[str], what: str, hint: str) -> dict[str, str]:
    """Paths of the files in `folder` with one of the endings, by stem; hidden files aside."""
    if not os.path.isdir(folder):
        raise UserError(f"the folder of {what} {folder} does not exist{hint}")
    found: dict[str, str] = {}
    for entry in os.scandir(folder):
        stem, suffix = os.path.splitext(entry.name)
        if entry.name.startswith(".") or suffix.lower() not in suffixes:
            continue
        if stem in found:
            raise UserError(f"{entry.path} and {found[stem]} share the stem {stem!r}: remove one")
        found[stem] = entry.path
    if not found:
        endings = ", ".join(suffixes)
        raise UserError(f"the folder of {what} {folder} holds no file ending in {endings}{hint}")
    return found
