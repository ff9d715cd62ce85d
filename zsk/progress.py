"""Says how far slow work is; quick work stays silent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

SILENT_SECONDS = 5.0
Item = TypeVar("Item")


class _Bar(tqdm):
    monitor_interval = 0  # no thread: programs fork later


def progress(items: Iterable[Item], what: str, total: int | None = None) -> Iterable[Item]:
    """The items, with a bar on stderr and the time that is left once they take long.

    Args:
        total: how many they are, where `len` does not tell; it may be wrong.
    """
    return _Bar(items, what, total, leave=False, mininterval=2.0, miniters=1, delay=SILENT_SECONDS)
