"""Helpers: files of photos, and the server of the page in a thread."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from zsk.web.app import App
from zsk.web.server import Server


def photo_file(width: int, height: int) -> bytes:
    """A PNG of seeded noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@contextmanager
def serving(app: App) -> Iterator[Server]:
    with Server("127.0.0.1", 0, app) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:  # or a test that fails would never end
            server.shutdown()
            thread.join()
