"""Reads a whole data set and finds everything that is wrong with it (tools/check_dataset.py).

Letter: K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import Any, NamedTuple, TypeVar

import numpy as np
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from tqdm import tqdm

from zsk.data.images import read_image, read_label
from zsk.data.labels import check_ids, check_size, joint_id_table
from zsk.data.listing import Listing, match_files
from zsk.data.register import get_vocabulary
from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL, Vocabulary

T = TypeVar("T")


class PairCheck(NamedTuple):
    """What one photo and its label hold."""

    problems: list[str]  # one sentence each, naming the file
    values: np.ndarray | None  # (256,) int64, pixels per file value; None: the label is unreadable


@dataclass
class DatasetCheck:
    """What a data set holds, and every problem with it.

    Attributes:
        name: the data set.
        class_names: K names.
        seen: K flags; None for a data set that has none of its own.
        training: whether it is meant to be trained on.
        images: photos that have a label.
        class_images: (K,) int64, images that show the class.
        class_pixels: (K,) int64.
        ignored_pixels: pixels that are 255, or hold a value without a class.
        classless_values: (256,) int64, pixels per file value that `label_values` gives to no class.
        all_ignore: images without any labelled pixel, which is allowed.
        problems: one sentence each, naming the file or folder.
        intact: the records without a problem.
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

    def __post_init__(self) -> None:
        self.class_images = np.zeros(len(self.class_names), dtype=np.int64)
        self.class_pixels = np.zeros(len(self.class_names), dtype=np.int64)
        self.classless_values = np.zeros(IGNORE_LABEL + 1, dtype=np.int64)

    def add(self, record: dict[str, Any], pair: PairCheck) -> None:
        """Count one pair."""
        self.images += 1
        self.problems += pair.problems
        if not pair.problems:
            self.intact.append(record)
        if pair.values is None:
            return
        ids = np.arange(IGNORE_LABEL + 1)
        if "label_values" in record:
            ids = joint_id_table(record["label_values"])
            classless = ids == IGNORE_LABEL
            classless[IGNORE_LABEL] = False  # the one value that means "no label"
            self.classless_values[classless] += pair.values[classless]
        pixels = np.bincount(ids, weights=pair.values, minlength=IGNORE_LABEL + 1).astype(np.int64)
        self.class_pixels += pixels[: len(self.class_names)]
        self.class_images += pixels[: len(self.class_names)] > 0
        self.ignored_pixels += int(pixels[IGNORE_LABEL])
        self.all_ignore += bool(pixels[IGNORE_LABEL] == pixels.sum())


def check_dataset(name: str, *, workers: int = 1, progress: bool = True) -> DatasetCheck:
    """Read every file of a registered data set and collect all problems.

    Args:
        name: a registered zero-shot data set.
        workers: threads that read files.
        progress: show a bar on stderr.

    Raises:
        UserError: no zero-shot data set of that name is registered. What is wrong with the files
            is not raised but returned.
    """
    metadata = split_metadata(name)
    vocabulary: Vocabulary | None = metadata.vocabulary
    check = DatasetCheck(
        name,
        tuple(metadata.stuff_classes),
        None if vocabulary is None else vocabulary.seen,
        metadata.training,
    )
    try:
        listing = list_files(metadata)
    except UserError as error:
        check.problems.append(str(error))
        return check
    check.problems += listing.mismatches
    examine = partial(check_pair, num_classes=len(check.class_names))
    with ThreadPool(workers) as pool:
        pairs = pool.imap(examine, listing.records)
        bar = tqdm(pairs, name, total=len(listing.records), unit="image", disable=not progress)
        for pair, record in zip(bar, listing.records):  # the bar first: it has to see its end
            check.add(record, pair)
    if not check.problems and not check.class_pixels.any():
        check.problems.append(
            f"no label in {metadata.sem_seg_root} holds a pixel of any of the "
            f"{len(check.class_names)} classes"
        )
    return check


def check_pair(record: dict[str, Any], num_classes: int) -> PairCheck:
    """Decode a photo and its label and collect what is wrong with them."""
    problems: list[str] = []
    image = attempt(problems, read_image, record["file_name"])
    label = attempt(problems, read_label, record["sem_seg_file_name"])
    if label is None:
        return PairCheck(problems, None)
    if image is not None:
        attempt(problems, check_size, label.shape, record, image.shape[:2])
    if "label_values" not in record:
        attempt(problems, check_ids, label, record, num_classes)
    return PairCheck(problems, np.bincount(label.ravel(), minlength=IGNORE_LABEL + 1))


def split_metadata(name: str) -> Metadata:
    """What a data set was registered with, or a UserError that lists the registered names."""
    if name not in DatasetCatalog or not MetadataCatalog.get(name).get("sem_seg_root"):
        get_vocabulary(name)  # says which names there are
    return MetadataCatalog.get(name)


def list_files(metadata: Metadata) -> Listing:
    """The pairs of a registered data set and the files that lack a partner: see `match_files`."""
    return match_files(
        metadata.image_root,
        metadata.sem_seg_root,
        file_list=metadata.file_list,
        image_suffixes=metadata.image_suffixes,
        label_values=metadata.label_values,
        advice=metadata.advice,
    )


def attempt(problems: list[str], action: Callable[..., T], *arguments: Any) -> T | None:
    """What `action(*arguments)` returns; the sentence of a UserError joins `problems` instead."""
    try:
        return action(*arguments)
    except UserError as error:
        problems.append(str(error))
        return None


def spread(records: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """At most `count` records, evenly spread over all."""
    picked = np.linspace(0, len(records) - 1, min(count, len(records))).round().astype(int)
    return [records[i] for i in picked]
