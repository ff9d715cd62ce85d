"""Helper: files of photos."""

import io

import numpy as np
from PIL import Image


def photo_file(width: int, height: int) -> bytes:
    """A PNG of seeded noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
