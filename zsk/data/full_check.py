"""Reads all files of a data set, counts its classes and collects problems. Letter: K classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
from tqdm import tqdm

from zsk.data.check import attempt, compare_sizes, doubt_of
from zsk.data.images import read_oriented_image
from zsk.data.label_files import read_label
from zsk.data.labels import NUM_VALUES, check_ids, joint_id_table
from zsk.data.listing import match_files
from zsk.data.vocabularies import split_metadata
from zsk.vocabulary import ignore_label

_VALUES = np.arange(NUM_VALUES)


@dataclass
class DatasetCheck:
    """Counts of a data set, and every problem with its files."""

    name: str
    class_names: tuple[str, ...]  # K
    groups: tuple[str, ...]  # K, "seen" or "unseen"; "-" where the data set has no own flags
    training: bool  # whether it is for training
    images: int = 0  # photos with a label
    class_images: np.ndarray = field(init=False)  # (K,) int64, images that show the class
    class_pixels: np.ndarray = field(init=False)  # (K,) int64
    ignored_pixels: int = 0  # with the ignore label or a value without a class
    classless_values: np.ndarray = field(init=False)
    """(65536,) int64, pixels per file value without a class in `label_values`."""
    all_ignore: int = 0  # images without a labelled pixel, which are allowed
    problems: list[str] = field(default_factory=list)  # one sentence each, naming file or folder
    intact: list[dict[str, Any]] = field(default_factory=list)  # the records without a problem
    notes: list[str] = field(default_factory=list)  # what is no problem for sure, a sentence each

    def __post_init__(self) -> None:
        self.class_images = np.zeros(len(self.class_names), dtype=np.int64)
        self.class_pixels = np.zeros_like(self.class_images)
        self.classless_values = np.zeros(NUM_VALUES, dtype=np.int64)

    def add(
        self, ids: np.ndarray, record: dict[str, Any], problems: list[str], values: np.ndarray
    ) -> None:
        """Count what `_check_pair` found; `ids`: (65536,) file value → joint id."""
        self.images += 1
        self.problems += problems
        self.intact += [] if problems else [record]
        ignore = ignore_label(len(self.class_names))
        # the value of the ignore label is the one that means "no label"
        self.classless_values += np.where((ids == ignore) & (_VALUES != ignore), values, 0)
        pixels = np.bincount(ids, weights=values, minlength=ignore + 1).astype(np.int64)
        classes = pixels[: len(self.class_names)]
        self.class_pixels += classes
        self.class_images += classes > 0
        self.ignored_pixels += int(pixels[ignore])
        self.all_ignore += bool(values.any() and pixels[ignore] == pixels.sum())


def check_dataset(name: str, *, workers: int = 1) -> DatasetCheck:
    """Read every file of a registered data set in so many threads and collect all problems.

    Raises:
        UserError: the data set is not registered. Problems with files are returned, not raised.
    """
    metadata = split_metadata(name)
    vocabulary = metadata.vocabulary
    groups = tuple("seen" if seen else "unseen" for seen in vocabulary.seen)
    if metadata.evaluation_only:
        groups = ("-",) * len(vocabulary)
    check = DatasetCheck(name, vocabulary.names, groups, metadata.training)
    listing = attempt(check.problems, match_files, metadata)
    if listing is None:
        return check
    check.problems += listing.mismatches
    check.notes += listing.notes
    values = metadata.label_values
    ids = _VALUES if values is None else joint_id_table(values)
    examine = partial(_check_pair, num_classes=len(vocabulary))
    with ThreadPool(workers) as pool:
        pairs = pool.imap(examine, listing.records)
        bar = tqdm(pairs, name, total=len(listing.records), unit="image")
        for pair, record in zip(bar, listing.records):  # the bar first: it has to see its end
            check.add(ids, record, *pair)
    shown = set(np.flatnonzero(check.class_pixels).tolist())
    if check.ignored_pixels:
        shown.add(metadata.ignore_label)
    uncertain = None if check.problems else doubt_of(metadata, shown)
    if uncertain:
        told = check.problems if uncertain.sure else check.notes
        told.append(f"{metadata.sem_seg_root}: {uncertain.told}")
    if not check.problems and not check.class_pixels.any():
        check.problems.append(
            f"no label in {metadata.sem_seg_root} holds a pixel of any of the "
            f"{len(vocabulary)} classes"
        )
    return check


def _check_pair(record: dict[str, Any], num_classes: int) -> tuple[list[str], np.ndarray]:
    """Decode a photo and its label: problems, and (65536,) pixels of the label per file value."""
    problems: list[str] = []
    photo = attempt(problems, read_oriented_image, record["file_name"])
    label = attempt(problems, read_label, record["sem_seg_file_name"])
    if label is None:
        return problems, np.zeros(NUM_VALUES, dtype=np.int64)
    if photo is not None:
        size = photo[0].shape[:2]
        attempt(problems, compare_sizes, record, (size, photo[1]), label.shape)
    if "label_values" not in record:
        attempt(problems, check_ids, label, record, num_classes)
    return problems, np.bincount(label.ravel(), minlength=NUM_VALUES)
