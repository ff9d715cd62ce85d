"""The check of data sets before training and evaluation (all files: `zsk check`)."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from detectron2.data import Metadata

from zsk.data.images import TURNED_ORIENTATIONS, read_photo_size
from zsk.data.label_files import read_label_size
from zsk.data.labels import check_ids, check_size, read_joint_label, turn_of_label
from zsk.data.listing import match_files
from zsk.data.vocabularies import split_metadata
from zsk.errors import UnreadableFile, UserError
from zsk.vocabulary import ignore_label

T = TypeVar("T")

SIZES_AT_START = 2000  # pairs whose sizes the start-up check compares
LABELS_AT_START = 8  # label files that it decodes
MORE_LABELS = 100  # those that it decodes beyond these while their values are hardly class ids

logger = logging.getLogger(__name__)


def check_at_start(names: Sequence[str], *, skip_unreadable: bool = False) -> dict[str, float]:
    """The check before training and evaluation: about a second for thousands of files.

    All files have to pair up. Sizes of `SIZES_AT_START` pairs are compared by their headers and
    `LABELS_AT_START` labels are decoded, evenly spread over the data set. Values of these labels
    that are hardly class ids (`doubt`) are a warning, if `MORE_LABELS` others are no better.

    With `skip_unreadable` (DATALOADER.SKIP_UNREADABLE) files that cannot be read are no problem.

    Returns:
        data set → share of the pixels of the decoded labels that have no label, in [0,1].

    Raises:
        UserError: naming the file, for the first problem; the decoded labels hold only 0 and 255,
            and nothing says which one is a class; a data set that is not registered.
    """
    unlabelled = {}
    for name in dict.fromkeys(names):
        start = time.perf_counter()
        metadata = split_metadata(name)
        records, problems, remarks = match_files(metadata)
        measured = spread(records, SIZES_AT_START)
        for record in measured:
            attempt(problems, _compare_headers, record, skip_unreadable=skip_unreadable)
        decoded = 0
        if not problems:
            decoded, unlabelled[name] = _check_labels(metadata, records, problems, skip_unreadable)
        for note in remarks:
            logger.warning(f"{name}: {note}")
        if problems:
            more = f" ({len(problems) - 1} more problems)" if len(problems) > 1 else ""
            raise UserError(
                f"data set {name!r} failed the check at start-up: {problems[0]}{more}; "
                "zsk check lists everything"
            )
        logger.info(
            f"start-up check of {name}: {len(records)} photos have a label; sizes of "
            f"{len(measured)} pairs and ids of {decoded} labels are right "
            f"({time.perf_counter() - start:.1f} s); to read every file before a long run: "
            "zsk check --config-file FILE"
        )
    return unlabelled


def shared_photos(train: Sequence[str], test: Sequence[str]) -> list[str]:
    """A sentence for each pair of a training and a test data set that have photos in common."""
    remarks = []
    for pair in itertools.product(dict.fromkeys(train), dict.fromkeys(test)):
        one, other = (match_files(split_metadata(name)).records for name in pair)
        names = {os.path.basename(record["file_name"]) for record in one}
        likely = [r["file_name"] for r in other if os.path.basename(r["file_name"]) in names]
        trained = {os.path.realpath(record["file_name"]) for record in one} if likely else set()
        shared = [path for path in likely if os.path.realpath(path) in trained]
        if shared:
            remarks.append(
                f"{len(shared)} of the {len(other)} photos of {pair[1]} are in {pair[0]}, too, "
                f"such as {shared[0]}: scores on photos of the training say nothing of new ones"
            )
    return remarks


def _check_labels(
    metadata: Metadata,
    records: Sequence[dict[str, Any]],
    problems: list[str],
    skip_unreadable: bool,
) -> tuple[int, float]:
    """Decode some labels, add to `problems` or warn; their number, the share without a label."""
    count = len(metadata.stuff_classes)
    chosen = spread(records, LABELS_AT_START)
    more = [record for record in spread(records, MORE_LABELS) if record not in chosen]
    pixels = np.zeros(ignore_label(count) + 1, dtype=np.int64)
    values: set[int] = set()
    decoded = 0
    for record in (*chosen, *more):
        if decoded >= len(chosen) and (problems or not doubt_of(metadata, values)):
            break
        found = attempt(problems, _count_ids, record, count, skip_unreadable=skip_unreadable)
        if found is not None:
            pixels += found
            values = set(np.flatnonzero(pixels).tolist())
            decoded += 1
    uncertain = doubt_of(metadata, values)
    if uncertain:
        told = f"of {decoded} labels that were read: {uncertain.told}"
        if 0 in values:  # a mask of 0 and 255: nothing would be learned
            problems.append(told)
        else:
            logger.warning(f"{metadata.name}: {told}")
    if decoded and not problems and not values - {ignore_label(count)}:
        logger.warning(f"{metadata.name}: none of {decoded} labels has a pixel of any class")
    return decoded, float(pixels[-1] / max(1, pixels.sum()))


def spread(records: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """At most `count` records, evenly spread over all."""
    picked = np.linspace(0, len(records) - 1, min(count, len(records))).round().astype(int)
    return [records[i] for i in picked]


def _compare_headers(record: dict[str, Any]) -> None:
    photo = read_photo_size(record["file_name"])
    compare_sizes(record, photo, read_label_size(record["sem_seg_file_name"]))


def compare_sizes(
    record: dict[str, Any], photo: tuple[tuple[int, int], int], label_size: tuple[int, ...]
) -> None:
    """Check the size of a label as stored against its photo's, as `read_photo_size` gives it."""
    image_size, orientation = photo
    turned = turn_of_label({**record, "photo_orientation": orientation}, label_size)
    if turned in TURNED_ORIENTATIONS:
        label_size = label_size[::-1]
    check_size(label_size, record, image_size)


def _count_ids(record: dict[str, Any], num_classes: int) -> np.ndarray:
    label = read_joint_label(record)
    check_ids(label, record, num_classes)
    return np.bincount(label.ravel(), minlength=ignore_label(num_classes) + 1)


def attempt(
    problems: list[str], action: Callable[..., T], *arguments: Any, skip_unreadable: bool = False
) -> T | None:
    """`action(*arguments)`, or None after a UserError, whose sentence is added to `problems`.

    With `skip_unreadable` an UnreadableFile gives None alone.
    """
    try:
        return action(*arguments)
    except UserError as error:
        if not (skip_unreadable and isinstance(error, UnreadableFile)):
            problems.append(str(error))
        return None


class Doubt(NamedTuple):
    """Why values are hardly joint ids."""

    told: str  # a sentence
    sure: bool  # whether nothing speaks for the values


def doubt(values: Collection[int], seen: Sequence[bool], *, training: bool) -> Doubt | None:
    """Whether the values of a data set's label files are hardly its joint ids.

    They are where only one value occurs beside the ignore label, and where no value is as small as
    that of the first class that has to occur. This is the first class; in labels for training that
    show no unseen class, the first seen one. Less than half of the classes make the latter unsure.

    Args:
        values: all that occur in the files, which passed `check_ids`.
        seen: K flags.
    """
    ignore = ignore_label(len(seen))
    ids = set(values) - {ignore}
    told = "give the value of each class in label_values (docs/own_data.md), also if this is right"
    if len(ids) == 1 and ignore in values:
        (only,) = ids
        sentence = (
            f"the label files hold only the values {only} and {ignore}, and {ignore} means no "
            f"label: if {ignore} is a class or {only} is none, training would miss it; {told}"
        )
        return Doubt(sentence, True)
    shown = list(range(len(seen)))
    if training and all(seen[k] for k in ids):
        shown = [k for k in shown if seen[k]]
    if not ids or min(ids) <= shown[0]:
        return None
    first = "the first class" if shown[0] == 0 else "the first seen class, nor a smaller one"
    sentence = (
        f"no label file holds the value {shown[0]}, {first}: if the files count the classes from "
        f"1, every class would get the next one's name; {told}"
    )
    return Doubt(sentence, len(ids) * 2 >= len(shown) - 1)


def doubt_of(metadata: Metadata, values: set[int]) -> Doubt | None:
    """`doubt` about the ids of a data set; None where these are known."""
    if metadata.label_values is not None or metadata.get("prepared"):
        return None
    return doubt(values, metadata.vocabulary.seen, training=metadata.training)
