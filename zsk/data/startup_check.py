"""The cheap part of the data check, run before training and evaluation: a second, not an hour."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from zsk.data.check import attempt, list_files, split_metadata, spread
from zsk.data.images import read_size
from zsk.data.labels import check_ids, check_size, read_joint_label
from zsk.errors import UserError

logger = logging.getLogger(__name__)

SIZES_AT_START = 2000
"""Pairs whose headers the start-up check compares: half a second on a local disk."""

LABELS_AT_START = 8
"""Label files that the start-up check decodes."""


def check_at_start(names: Sequence[str]) -> None:
    """The cheap part, for all of a run's data sets: about a second for thousands of files.

    All files have to pair up; photo and label have to agree in size as far as their headers tell
    (of `SIZES_AT_START` pairs at most, evenly spread); `LABELS_AT_START` labels have to be valid.
    Logs what was checked.

    Raises:
        UserError: naming the file, for the first problem; a data set that is not registered.
    """
    for name in dict.fromkeys(names):
        start = time.perf_counter()
        metadata = split_metadata(name)
        records, problems = list_files(metadata)
        measured, decoded = spread(records, SIZES_AT_START), spread(records, LABELS_AT_START)
        for record in measured:
            attempt(problems, _check_sizes, record)
        for record in [] if problems else decoded:
            attempt(problems, _check_ids, record, len(metadata.stuff_classes))
        if problems:
            more = f" ({len(problems) - 1} more problems)" if len(problems) > 1 else ""
            raise UserError(
                f"data set {name!r} failed the check at start-up: {problems[0]}{more}; "
                "tools/check_dataset.py lists everything"
            )
        logger.info(
            f"start-up check of {name}: {len(records)} photos have a label; sizes of "
            f"{len(measured)} pairs and ids of {len(decoded)} labels are right "
            f"({time.perf_counter() - start:.1f} s)"
        )


def _check_sizes(record: dict[str, Any]) -> None:
    label_size = read_size(record["sem_seg_file_name"], "label")
    check_size(label_size, record, read_size(record["file_name"], "image"))


def _check_ids(record: dict[str, Any], num_classes: int) -> None:
    check_ids(read_joint_label(record), record, num_classes)
