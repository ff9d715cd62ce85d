"""Training goes on without unreadable files, up to a share of them (DATALOADER.SKIP_UNREADABLE)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from zsk.errors import UnreadableFile, UserError

Record = dict[str, Any]

logger = logging.getLogger(__name__)


class ReplaceUnreadable:
    """A mapper that takes the next record of the list where a photo or label cannot be read.

    The replacement depends on the record alone, so a resumed run draws the same one. The mapped
    record has the key "skipped": photo → the reason, of the records that were passed over.
    """

    def __init__(self, mapper: Callable[[Record], Record], records: Sequence[Record]) -> None:
        self.mapper = mapper
        self.records = records

    def __call__(self, record: Record) -> Record:
        """Raises UserError when no record can be read, or for a mistake that is no damage."""
        skipped: dict[str, str] = {}
        while record["file_name"] not in skipped:
            try:
                return {**self.mapper(record), "skipped": skipped}
            except UnreadableFile as error:
                skipped[record["file_name"]] = str(error)
                # a damaged file is rare: the search costs less than a table in every worker
                names = [other["file_name"] for other in self.records]
                record = self.records[(names.index(record["file_name"]) + 1) % len(names)]
        raise UserError(f"none of the {len(skipped)} images can be read: {error_of(skipped)}")


class SkippedFiles:
    """Batches of `loader`; counts the records that `ReplaceUnreadable` passed over.

    Every process counts what it came across itself.

    Attributes:
        files: photo → why it or its label cannot be read.
    """

    def __init__(self, loader: Iterable[list[Record]], total: int, share: float) -> None:
        """
        Args:
            total: number of records.
            share: largest share of them that may be skipped.
        """
        self.loader, self.total, self.share = loader, total, share
        self.files: dict[str, str] = {}

    def __iter__(self) -> Iterator[list[Record]]:
        """Raises UserError when more files than the share allows were unreadable."""
        for batch in self.loader:
            for record in batch:
                for photo, reason in record.pop("skipped").items():
                    if photo not in self.files:
                        self.files[photo] = reason
                        logger.warning(f"skipped: {reason} ({self.summary()})")
            if len(self.files) > self.share * self.total:
                raise UserError(
                    f"{self.summary()}, which is more than DATALOADER.SKIP_UNREADABLE "
                    f"{self.share} allows: the last one is {error_of(self.files)}"
                )
            yield batch

    def summary(self) -> str:
        return f"{len(self.files)} of {self.total} training images cannot be read"


def error_of(skipped: dict[str, str]) -> str:
    return list(skipped.values())[-1]
