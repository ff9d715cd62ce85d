"""The check of data sets before training and evaluation (all files: `zsk check`)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog

from zsk.data.images import TURNED_ORIENTATIONS, read_photo_size
from zsk.data.label_checks import Doubt, check_ids, check_size, doubt
from zsk.data.label_files import read_label_size
from zsk.data.labels import read_joint_label, turn_of_label
from zsk.data.listing import match_files
from zsk.data.vocabularies import get_vocabulary
from zsk.errors import UnreadableFile, UserError
from zsk.vocabulary import ignore_label

T = TypeVar("T")

SIZES_AT_START = 2000
"""Pairs whose sizes the start-up check compares."""

LABELS_AT_START = 8
"""Label files that the start-up check decodes."""

MORE_LABELS = 100
"""Label files that it decodes beyond these while their values are hardly class ids."""

logger = logging.getLogger(__name__)


def check_at_start(names: Sequence[str], *, skip_unreadable: bool = False) -> None:
    """The check before training and evaluation: about a second for thousands of files.

    All files have to pair up. Sizes of `SIZES_AT_START` pairs are compared by their headers and
    `LABELS_AT_START` labels are decoded, evenly spread over the data set. Values of these labels
    that are hardly class ids (`zsk.data.label_checks.doubt`) are a warning, if `MORE_LABELS` others
    are no better.

    Args:
        names: of the data sets.
        skip_unreadable: files that cannot be read are no problem (DATALOADER.SKIP_UNREADABLE).

    Raises:
        UserError: naming the file, for the first problem; the decoded labels hold only 0 and 255,
            and nothing says which one is a class; a data set that is not registered.
    """
    for name in dict.fromkeys(names):
        start = time.perf_counter()
        metadata = split_metadata(name)
        records, problems, remarks = match_files(metadata)
        measured = spread(records, SIZES_AT_START)
        for record in measured:
            attempt(problems, _compare_sizes, record, skip_unreadable=skip_unreadable)
        decoded = 0 if problems else _check_labels(metadata, records, problems, skip_unreadable)
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


def _check_labels(
    metadata: Metadata,
    records: Sequence[dict[str, Any]],
    problems: list[str],
    skip_unreadable: bool,
) -> int:
    """Decode some labels, add to `problems` or warn; how many were decoded."""
    count = len(metadata.stuff_classes)
    chosen = spread(records, LABELS_AT_START)
    more = [record for record in spread(records, MORE_LABELS) if record not in chosen]
    values: set[int] = set()
    decoded = 0
    for record in (*chosen, *more):
        if decoded >= len(chosen) and (problems or not doubt_of(metadata, values)):
            break
        found = attempt(problems, _label_ids, record, count, skip_unreadable=skip_unreadable)
        values.update(found or ())
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
    return decoded


def doubt_of(metadata: Metadata, values: set[int]) -> Doubt | None:
    """`zsk.data.label_checks.doubt` about the ids of a data set; None where these are known."""
    if metadata.label_values is not None or metadata.get("prepared"):
        return None
    return doubt(values, metadata.vocabulary.seen, training=metadata.training)


def split_metadata(name: str) -> Metadata:
    """What a data set was registered with, or a UserError that lists the registered names."""
    if name not in DatasetCatalog or not MetadataCatalog.get(name).get("sem_seg_root"):
        get_vocabulary(name)  # raises
    return MetadataCatalog.get(name)


def spread(records: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """At most `count` records, evenly spread over all."""
    picked = np.linspace(0, len(records) - 1, min(count, len(records))).round().astype(int)
    return [records[i] for i in picked]


def _compare_sizes(record: dict[str, Any]) -> None:
    image_size, orientation = read_photo_size(record["file_name"])
    label_size = read_label_size(record["sem_seg_file_name"])
    record = {**record, "photo_orientation": orientation}
    if turn_of_label(record, label_size) in TURNED_ORIENTATIONS:
        label_size = label_size[::-1]
    check_size(label_size, record, image_size)


def _label_ids(record: dict[str, Any], num_classes: int) -> list[int]:
    label = read_joint_label(record)
    check_ids(label, record, num_classes)
    return np.unique(label).tolist()


def attempt(
    problems: list[str],
    action: Callable[..., T],
    *arguments: Any,
    skip_unreadable: bool = False,
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
