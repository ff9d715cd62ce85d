"""Reads all files of a data set, counts its classes and collects problems. Letter: K classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
from tqdm import tqdm

from zsk.data.check import attempt, doubt_of, split_metadata
from zsk.data.images import read_oriented_image, turn
from zsk.data.label_checks import check_ids, check_size
from zsk.data.label_files import read_label
from zsk.data.labels import NUM_VALUES, joint_id_table, turn_of_label
from zsk.data.listing import match_files
from zsk.vocabulary import Vocabulary, ignore_label


@dataclass
class DatasetCheck:
    """Counts of a data set, and every problem with its files.

    Attributes:
        name: of the data set.
        class_names: K names.
        seen: K flags; None for a data set without flags of its own.
        training: whether it is for training.
        images: photos with a label.
        class_images: (K,) int64, images that show the class.
        class_pixels: (K,) int64.
        ignored_pixels: pixels with the ignore label or a value without a class.
        classless_values: (65536,) int64, pixels per file value without a class in `label_values`.
        all_ignore: images without a labelled pixel, which are allowed.
        problems: one sentence each, naming the file or folder.
        intact: the records without a problem.
        notes: what is no problem for sure, one sentence each.
    """

    name: str
    class_names: tuple[str, ...]
    seen: tuple[bool, ...] | None
    training: bool
    images: int = 0
    class_images: np.ndarray = field(init=False)
    class_pixels: np.ndarray = field(init=False)
    ignored_pixels: int = 0
    classless_values: np.ndarray = field(init=False)
    all_ignore: int = 0
    problems: list[str] = field(default_factory=list)
    intact: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.class_images = np.zeros(len(self.class_names), dtype=np.int64)
        self.class_pixels = np.zeros(len(self.class_names), dtype=np.int64)
        self.classless_values = np.zeros(NUM_VALUES, dtype=np.int64)

    def add(
        self, record: dict[str, Any], problems: Sequence[str], values: np.ndarray | None
    ) -> None:
        """Count a pair by the result of `_check_pair`."""
        self.images += 1
        self.problems += problems
        if not problems:
            self.intact.append(record)
        if values is None:
            return
        count = len(self.class_names)
        ignore, ids = ignore_label(count), np.arange(NUM_VALUES)
        if "label_values" in record:
            ids = joint_id_table(record["label_values"])
            classless = ids == ignore
            classless[ignore] = False  # the one value that means "no label"
            self.classless_values[classless] += values[classless]
        pixels = np.bincount(ids, weights=values, minlength=ignore + 1).astype(np.int64)
        self.class_pixels += pixels[:count]
        self.class_images += pixels[:count] > 0
        self.ignored_pixels += int(pixels[ignore])
        self.all_ignore += bool(pixels[ignore] == pixels.sum())


def check_dataset(name: str, *, workers: int = 1, progress: bool = True) -> DatasetCheck:
    """Read every file of a registered data set and collect all problems.

    Args:
        name: of the data set.
        workers: number of reading threads.
        progress: show a bar on stderr.

    Raises:
        UserError: the data set is not registered. Problems with files are returned, not raised.
    """
    metadata = split_metadata(name)
    vocabulary: Vocabulary = metadata.vocabulary
    seen = None if metadata.evaluation_only else vocabulary.seen
    check = DatasetCheck(name, tuple(metadata.stuff_classes), seen, metadata.training)
    listing = attempt(check.problems, match_files, metadata)
    if listing is None:
        return check
    records = listing.records
    check.problems += listing.mismatches
    check.notes += listing.notes
    examine = partial(_check_pair, num_classes=len(check.class_names))
    with ThreadPool(workers) as pool:
        pairs = pool.imap(examine, records)
        bar = tqdm(pairs, name, total=len(records), unit="image", disable=not progress)
        for pair, record in zip(bar, records):  # the bar first: it has to see its end
            check.add(record, *pair)
    values = set(np.flatnonzero(check.class_pixels).tolist())
    if check.ignored_pixels:
        values.add(ignore_label(len(check.class_names)))
    uncertain = None if check.problems else doubt_of(metadata, values)
    if uncertain:
        told = check.problems if uncertain.sure else check.notes
        told.append(f"{metadata.sem_seg_root}: {uncertain.told}")
    if not check.problems and not check.class_pixels.any():
        check.problems.append(
            f"no label in {metadata.sem_seg_root} holds a pixel of any of the "
            f"{len(check.class_names)} classes"
        )
    return check


def _check_pair(record: dict[str, Any], num_classes: int) -> tuple[list[str], np.ndarray | None]:
    """Decode a photo and its label: problems, and (65536,) pixels per file value.

    The latter is None if the label cannot be read.
    """
    problems: list[str] = []
    photo = attempt(problems, read_oriented_image, record["file_name"])
    label = attempt(problems, read_label, record["sem_seg_file_name"])
    if label is None:
        return problems, None
    if photo is not None:
        image, orientation = photo
        turned = {**record, "photo_orientation": orientation}
        to_apply = attempt(problems, turn_of_label, turned, label.shape)
        if to_apply is not None:
            attempt(problems, check_size, turn(label, to_apply).shape, record, image.shape[:2])
    if "label_values" not in record:
        attempt(problems, check_ids, label, record, num_classes)
    return problems, np.bincount(label.ravel(), minlength=NUM_VALUES)
