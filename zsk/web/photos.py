"""Photos of the browsers that have the page open."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass

from zsk.errors import UserError
from zsk.segmentation import Segmentation
from zsk.segmenter import Photo

KEPT_PHOTOS = 8


class Refused(UserError):
    """A request that is answered with one sentence and this status of HTTP."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass
class Entry:
    """A photo, the name of its file, and what the last words found in it."""

    photo: Photo
    file_name: str
    found: Segmentation | None = None


class Photos:
    """Photos by keys that nobody can guess; over `limit`, the least recently used one is dropped.

    Threads may share it.
    """

    def __init__(self, limit: int = KEPT_PHOTOS) -> None:
        self.limit = limit
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, entry: Entry, instead: str = "") -> str:
        """Keep a photo, in the place of that with the key `instead`; returns the new key."""
        key = secrets.token_urlsafe(16)
        with self._lock:
            self._entries.pop(instead, None)
            self._entries[key] = entry
            while len(self._entries) > self.limit:
                self._entries.popitem(last=False)
        return key

    def __getitem__(self, key: str) -> Entry:
        """Raises Refused where the photo was dropped."""
        with self._lock:
            if key not in self._entries:
                raise Refused(
                    f"the photo is no longer in memory, which holds {self.limit}: give it again",
                    status=410,
                )
            self._entries.move_to_end(key)
            return self._entries[key]
