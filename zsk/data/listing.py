"""Finds files by their stems, and pairs photos with label images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from detectron2.data import Metadata, MetadataCatalog

from zsk.errors import UserError
from zsk.files import text_lines

LABEL_SUFFIX = ".png"


class Listing(NamedTuple):
    """The files of a data set, each list sorted by stem."""

    records: list[dict[str, Any]]  # with both files
    mismatches: list[str]  # one sentence for every file without its partner
    notes: list[str]  # on pairs in sub-folders that do not count


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
    """Pair the photos and labels of a data set registered with `metadata`. Opens no image.

    A record is {"file_name": str, "sem_seg_file_name": str, "image_id": str (the stem)}, and
    "label_values" and "label_orientation" where the data set has them.

    Raises:
        UserError: naming the file or folder, when a folder is missing, cannot be read or holds no
            fitting file, two files share a stem, a photo is its own label, or the file list cannot
            be read.
    """
    images, labels = _photos_and_labels(metadata, metadata.sub_folders)
    hint = f": {metadata.advice}" if metadata.advice else ""
    file_list = metadata.file_list
    stems = images.keys() | labels.keys() if file_list is None else read_stems(file_list)
    optional = ("label_values", "label_orientation")
    extra = {key: metadata.get(key) for key in optional if metadata.get(key) is not None}
    listing = Listing([], [], [])
    for stem in sorted(stems):
        if stem not in images:
            wanted_by = f"label {labels[stem]}" if file_list is None else f"{stem!r} in {file_list}"
            endings = " or ".join(metadata.image_suffixes)
            deep = "/" in stem and not metadata.sub_folders
            listing.mismatches.append(
                f"{wanted_by} has no image {stem} ({endings}) in {metadata.image_root}"
                f"{': set sub_folders to yes in the split file' if deep else hint}"
            )
        elif stem not in labels:
            missing = os.path.join(metadata.sem_seg_root, stem + metadata.label_suffix)
            listing.mismatches.append(f"image {images[stem]} has no label {missing}{hint}")
        else:
            files = {"file_name": images[stem], "sem_seg_file_name": labels[stem]}
            listing.records.append({**files, "image_id": stem, **extra})
    if file_list is None and not metadata.sub_folders:
        lost = _pairs_below(metadata)
        if lost:
            listing.notes.append(
                f"{lost} photos with a label lie in sub-folders of {metadata.image_root} and do "
                "not count: for them, set sub_folders to yes in the split file"
            )
    return listing


def read_stems(file_list: str | os.PathLike[str]) -> list[str]:
    """The stems in a text file, one per line; blank lines are skipped.

    Raises:
        UserError: naming the file, when it is missing or empty, or names a stem twice.
    """
    try:
        stems = text_lines(file_list)
    except UserError as error:
        raise UserError(f"the list of images {error}") from error
    if not stems:
        raise UserError(f"the list of images {file_list} is empty: it needs one stem per line")
    for stem, count in Counter(stems).items():
        if count > 1:
            raise UserError(f"the list of images {file_list} names {stem!r} twice")
    return stems


def _photos_and_labels(
    metadata: Metadata, sub_folders: bool
) -> tuple[dict[str, str], dict[str, str]]:
    """Stem -> path of the photos and of the labels; a photo is no label."""
    hint = f": {metadata.advice}" if metadata.advice else ""
    further = hint, sub_folders
    images = files_by_stem(metadata.image_root, metadata.image_suffixes, "photos", *further)
    labels = files_by_stem(metadata.sem_seg_root, (metadata.label_suffix,), "labels", *further)
    if metadata.label_suffix != LABEL_SUFFIX:  # a_mask.png beside a.png is no photo
        paths = set(labels.values())
        images = {stem: path for stem, path in images.items() if path not in paths}
    for stem, path in images.items():
        if labels.get(stem) == path:
            raise UserError(
                f"{path} would be a photo and its own label: set image_suffix and label_suffix in "
                "the split file, or give two folders"
            )
    return images, labels


def _pairs_below(metadata: Metadata) -> int:
    """How many more photos have a label where sub-folders count."""
    try:
        images, labels = _photos_and_labels(metadata, True)
    except UserError:  # of a folder that does not count
        return 0
    return sum("/" in stem for stem in images.keys() & labels.keys())


def files_by_stem(
    folder: str, suffixes: Sequence[str], what: str, hint: str = "", sub_folders: bool = False
) -> dict[str, str]:
    """Stem -> path of the files with one of the suffixes; hidden files are skipped.

    With `sub_folders` a stem has the path from `folder`, with slashes. Symbolic links to folders
    are followed, but not back to a folder that they lie in.

    Raises:
        UserError: naming the folder, when it is missing, cannot be read or holds no such file, or
            two files share a stem. `what` ("photos") and `hint` stand in the message.
    """
    if not os.path.isdir(folder):
        raise UserError(f"the folder of {what} {folder} does not exist{hint}")
    found: dict[str, str] = {}
    for path, ending in _walk(folder, suffixes, sub_folders):
        stem = Path(os.path.relpath(path, folder)).as_posix()[: -len(ending)]
        if stem in found:
            told = f"{path} and {found[stem]} share the stem {stem!r}: remove one"
            if what == "photos":
                told += (
                    "; where one is the label of the other, set image_suffix (and label_suffix) "
                    "in the split file"
                )
            raise UserError(told)
        found[stem] = path
    if not found:
        deeper = not sub_folders and any(_walk(folder, suffixes, True))
        below = ", but those below do: set sub_folders to yes in the split file" if deeper else ""
        raise UserError(
            f"the folder of {what} {folder} holds no file ending in {', '.join(suffixes)}"
            f"{below}{hint}"
        )
    return found


def _walk(folder: str, suffixes: Sequence[str], sub_folders: bool) -> Iterator[tuple[str, str]]:
    """The paths of all files with one of the suffixes, and which one; hidden ones are skipped."""

    def refuse(error: OSError) -> None:
        raise UserError(f"the folder {error.filename} cannot be read ({error.strerror})") from error

    for parent, below, names in os.walk(folder, onerror=refuse, followlinks=True):
        shown = [name for name in below if sub_folders and not name.startswith(".")]
        below[:] = [name for name in shown if not _leads_back(Path(parent, name))]
        for name in names:
            ending = next((s for s in suffixes if name.lower().endswith(s.lower())), None)
            if ending is not None and not name.startswith("."):
                yield os.path.join(parent, name), ending


def _leads_back(folder: Path) -> bool:
    """Whether a folder is a link to one that it lies in, where a walk has no end."""
    above = (parent.resolve() for parent in folder.parents)
    return folder.is_symlink() and any(p.is_relative_to(folder.resolve()) for p in above)
