"""Pairs photos and label images on disk by their stems."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from detectron2.data import Metadata, MetadataCatalog

from zsk.errors import UserError

LABEL_SUFFIX = ".png"


class Listing(NamedTuple):
    """The records with both files, and one sentence for every file without its partner."""

    records: list[dict[str, Any]]
    mismatches: list[str]


def list_records(name: str) -> list[dict[str, Any]]:
    """The records of a registered data set: see `match_files`.

    Raises:
        UserError: as `match_files`; or the first mismatch.
    """
    listing = match_files(MetadataCatalog.get(name))
    if listing.mismatches:
        raise UserError(listing.mismatches[0])
    return listing.records


def match_files(metadata: Metadata) -> Listing:
    """Pair the photos and labels of a registered data set. Opens no image.

    Args:
        metadata: what the data set was registered with (`zsk.data.register`).

    Returns:
        Records and mismatches, sorted by stem. A record is {"file_name": str,
        "sem_seg_file_name": str, "image_id": str (the stem)}, and "label_values" and
        "label_orientation" where the data set has them.

    Raises:
        UserError: naming the file or folder, when a folder is missing or holds no fitting file,
            two files share a stem, or the file list cannot be read.
    """
    hint = f": {metadata.advice}" if metadata.advice else ""
    suffix, deep = metadata.label_suffix, metadata.sub_folders
    images = _files_by_stem(metadata.image_root, metadata.image_suffixes, "photos", hint, deep)
    labels = _files_by_stem(metadata.sem_seg_root, (suffix,), "labels", hint, deep)
    if suffix != LABEL_SUFFIX:  # a_mask.png beside a.png is no photo
        paths = set(labels.values())
        images = {stem: path for stem, path in images.items() if path not in paths}
    file_list = metadata.file_list
    stems = images.keys() | labels.keys() if file_list is None else read_stems(file_list)
    optional = ("label_values", "label_orientation")
    extra = {key: metadata.get(key) for key in optional if metadata.get(key) is not None}
    listing = Listing([], [])
    for stem in sorted(stems):
        if stem not in images:
            wanted_by = f"label {labels[stem]}" if file_list is None else f"{stem!r} in {file_list}"
            endings = " or ".join(metadata.image_suffixes)
            listing.mismatches.append(
                f"{wanted_by} has no image {stem} ({endings}) in {metadata.image_root}{hint}"
            )
        elif stem not in labels:
            missing = os.path.join(metadata.sem_seg_root, stem + suffix)
            listing.mismatches.append(f"image {images[stem]} has no label {missing}{hint}")
        else:
            files = {"file_name": images[stem], "sem_seg_file_name": labels[stem]}
            listing.records.append({**files, "image_id": stem, **extra})
    return listing


def read_stems(file_list: str | os.PathLike[str]) -> list[str]:
    """The stems in a text file, one per line; blank lines are skipped.

    Raises:
        UserError: naming the file, when it is missing or empty, or names a stem twice.
    """
    try:
        lines = Path(file_list).read_text(encoding="utf-8-sig").splitlines()
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


def _files_by_stem(
    folder: str, suffixes: Sequence[str], what: str, hint: str, sub_folders: bool
) -> dict[str, str]:
    """Stem -> path of the files with one of the suffixes; hidden files are skipped.

    With `sub_folders` a stem has the path from `folder`, with slashes.
    """
    if not os.path.isdir(folder):
        raise UserError(f"the folder of {what} {folder} does not exist{hint}")
    found: dict[str, str] = {}
    for parent, below, names in os.walk(folder):
        below[:] = [name for name in below if sub_folders and not name.startswith(".")]
        for name in names:
            ending = next((s for s in suffixes if name.lower().endswith(s.lower())), None)
            if ending is None or name.startswith("."):
                continue
            path = os.path.join(parent, name)
            stem = Path(os.path.relpath(path, folder)).as_posix()[: -len(ending)]
            if stem in found:
                raise UserError(f"{path} and {found[stem]} share the stem {stem!r}: remove one")
            found[stem] = path
    if not found:
        endings = ", ".join(suffixes)
        raise UserError(f"the folder of {what} {folder} holds no file ending in {endings}{hint}")
    return found
