"""Says how far slow work is; quick work stays silent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

SILENT_SECONDS = 5.0
Item = TypeVar("Item")


def progress(items: Iterable[Item], what: str, total: int | None = None) -> Iterable[Item]:
    """The items, with a bar on stderr and the time that is left once they take long."""
    return tqdm(items, what, total, leave=False, mininterval=2.0, delay=SILENT_SECONDS)
