"""Reads photos as 8-bit RGB, as displayed. Letters: H×W image."""

from __future__ import annotations

import functools
import logging
import os

import numpy as np
from PIL import Image

from zsk.data.image_file import (
    PHOTOMETRIC,
    WIDE_INTEGER_MODES,
    PathLike,
    count_pages,
    opened,
    orientation_of,
)
from zsk.errors import UserError
from zsk.terminal import printable

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif")
"""Of the files that are taken for photos; compared without letter case."""

logger = logging.getLogger(__name__)

# EXIF orientation → what turns the stored pixels into the displayed ones
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
TURNED_ORIENTATIONS = (5, 6, 7, 8)  # height and width change places for display
_BITS_PER_SAMPLE = 258  # a tag of TIFF


def read_image(path: PathLike) -> np.ndarray:
    """Read a photo as (H,W,3) uint8 RGB with EXIF rotation applied: see `read_oriented_image`."""
    return read_oriented_image(path)[0]


def read_oriented_image(path: PathLike) -> tuple[np.ndarray, int]:
    """Read a photo as (H,W,3) uint8 RGB with EXIF rotation applied, and its EXIF orientation, 1–8.

    Grey, palette and CMYK images are converted, an alpha channel is dropped. 16-bit values are
    scaled to 8 bits; those of a 32-bit integer TIFF count as 8 bits where all lie in 0..255, else
    as 16 bits. Of several pages the first one is read, with a line in the log.

    Raises:
        UserError: naming the file, when it is missing, no regular file, damaged, truncated, no
            image, of unknown range, or larger than Pillow's limit of 179 million pixels.
    """
    with opened(path, "image") as stored:
        return displayed(stored, f"image {os.fspath(path)}")


def displayed(stored: Image.Image, name: str) -> tuple[np.ndarray, int]:
    """As `read_oriented_image`, for an image that is open; errors name it `name`."""
    orientation = orientation_of(stored)
    stored.load()
    left = orientation_of(stored)  # to be applied: decoding has turned a TIFF
    image = _eight_bits(stored, name) if stored.mode in WIDE_INTEGER_MODES else stored
    if image.mode == "F":
        raise UserError(
            f"{name} stores floating-point values of unknown range: convert it to 8-bit RGB"
        )
    image = image.convert("RGB")
    rgb = np.array(image if left == 1 else image.transpose(_TURNS[left]))
    pages = count_pages(stored)
    if pages > 1:
        _warn_once(f"{name} has {pages} pages or frames: the first one is used")
    return rgb, orientation


def _eight_bits(stored: Image.Image, name: str) -> Image.Image:
    """A grey image of 12, 16 or 32 bits as "L"; white becomes 255."""
    values = np.array(stored).astype(np.int64)
    lowest, highest, tags = values.min(), values.max(), getattr(stored, "tag_v2", {})
    white = 65535
    if tags.get(_BITS_PER_SAMPLE) == (12,):
        white = 4095
    elif stored.mode == "I" and stored.format == "TIFF" and highest <= 255:
        white = 255
    if lowest < 0 or highest > white:
        raise UserError(
            f"{name} stores values from {lowest} to {highest}, which are neither "
            "8-bit nor 16-bit grey: convert it to 8-bit RGB"
        )
    if tags.get(PHOTOMETRIC) == 0:  # white is stored as 0, which Pillow leaves so at 16 bits
        values = white - values
    return Image.fromarray((values * (255 / white) + 0.5).astype(np.uint8))


def read_photo_size(path: PathLike) -> tuple[tuple[int, int], int]:
    """(height, width) of a photo as displayed, and its EXIF orientation, 1–8.

    The header of the file is read; PNG photos are decoded.

    Raises:
        UserError: naming the file, when it is missing or its header cannot be read.
    """
    with opened(path, "image") as stored:
        width, height = stored.size
        orientation = orientation_of(stored)
        # the size of a TIFF is the displayed one
        if orientation in TURNED_ORIENTATIONS and stored.format != "TIFF":
            width, height = height, width
    return (height, width), orientation


@functools.cache
def _warn_once(message: str) -> None:
    logger.warning(printable(message))
