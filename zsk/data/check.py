"""The check of data sets before training and evaluation (all files: tools/check_dataset.py)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog

from zsk.data.images import read_size
from zsk.data.labels import check_ids, check_size, read_joint_label
from zsk.data.listing import match_files
from zsk.data.register import get_vocabulary
from zsk.errors import UserError

T = TypeVar("T")

SIZES_AT_START = 2000
"""Pairs whose sizes the start-up check compares."""

LABELS_AT_START = 8
"""Label files that the start-up check decodes."""


def check_at_start(names: Sequence[str]) -> None:
    """The check before training and evaluation: about a second for thousands of files.

    All files have to pair up. Sizes of `SIZES_AT_START` pairs are compared by their headers and
    `LABELS_AT_START` labels are decoded, evenly spread over the data set.

    Raises:
        UserError: naming the file, for the first problem; a data set that is not registered.
    """
    for name in dict.fromkeys(names):
        start = time.perf_counter()
        metadata = split_metadata(name)
        records, problems = match_files(metadata)
        measured, decoded = spread(records, SIZES_AT_START), spread(records, LABELS_AT_START)
        for record in measured:
            attempt(problems, _compare_sizes, record)
        for record in [] if problems else decoded:
            attempt(problems, _check_label_ids, record, len(metadata.stuff_classes))
        if problems:
            more = f" ({len(problems) - 1} more problems)" if len(problems) > 1 else ""
            raise UserError(
                f"data set {name!r} failed the check at start-up: {problems[0]}{more}; "
                "tools/check_dataset.py lists everything"
            )
        logging.getLogger(__name__).info(
            f"start-up check of {name}: {len(records)} photos have a label; sizes of "
            f"{len(measured)} pairs and ids of {len(decoded)} labels are right "
            f"({time.perf_counter() - start:.1f} s)"
        )


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
    label_size = read_size(record["sem_seg_file_name"], "label")
    check_size(label_size, record, read_size(record["file_name"], "image"))


def _check_label_ids(record: dict[str, Any], num_classes: int) -> None:
    check_ids(read_joint_label(record), record, num_classes)


def attempt(problems: list[str], action: Callable[..., T], *arguments: Any) -> T | None:
    """`action(*arguments)`, or None after a UserError, whose sentence is added to `problems`."""
    try:
        return action(*arguments)
    except UserError as error:
        problems.append(str(error))
        return None
