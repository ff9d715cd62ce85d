"""Reads photos as 8-bit RGB, as displayed, and label images as ids. Letters: H×W image."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import ExifTags, Image, ImageOps

from zsk.errors import UserError

PathLike = str | os.PathLike[str]

# raised by Pillow's decoders on damaged files
_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    IndexError,
    TypeError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_TURNED_ORIENTATIONS = (5, 6, 7, 8)  # EXIF: height and width change places for display
_WIDE_INTEGER_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def read_image(path: PathLike) -> np.ndarray:
    """Read a photo as (H,W,3) uint8 RGB with EXIF rotation applied.

    Grey, palette and CMYK images are converted, 16-bit values are scaled to 8 bits, an alpha
    channel is dropped.

    Raises:
        UserError: naming the file, when it is missing, damaged, truncated or no image.
    """
    with _decoded(path, "image") as stored:
        image = ImageOps.exif_transpose(stored)
        if image.mode in _WIDE_INTEGER_MODES:
            # 65535 = 255 · 257: white becomes 255
            wide = np.array(image).astype(np.float32).clip(0, 65535)
            image = Image.fromarray((wide / 257 + 0.5).astype(np.uint8))
        elif image.mode == "F":
            raise UserError(
                f"image {os.fspath(path)} stores floating-point values of unknown range: "
                "convert it to 8-bit RGB"
            )
        return np.array(image.convert("RGB"))


def read_label(path: PathLike) -> np.ndarray:
    """Read a grey or palette label image as (H,W) uint8 ids, exactly as stored.

    The indices of a palette image are the ids. 16-bit images are read if their ids fit in 8 bits.

    Raises:
        UserError: naming the file, when it holds colours or ids over 255, or is missing, damaged,
            truncated or no image.
    """
    with _decoded(path, "label") as stored:
        if stored.mode in ("L", "P", "1"):
            return np.array(stored).astype(np.uint8)
        if stored.mode not in _WIDE_INTEGER_MODES:
            raise UserError(
                f"label {os.fspath(path)} holds colours or transparency (mode {stored.mode}) "
                "instead of class ids: store one 8-bit id per pixel (grey or palette PNG)"
            )
        ids = np.array(stored)
    if ids.min() < 0 or ids.max() > 255:
        raise UserError(
            f"label {os.fspath(path)} holds the id {ids.max() if ids.max() > 255 else ids.min()}: "
            "ids lie in 0–254, with 255 for ignored pixels"
        )
    return ids.astype(np.uint8)


def read_size(path: PathLike, what: str) -> tuple[int, int]:
    """(height, width) as displayed, from the header of the file (PNG photos are decoded).

    Args:
        path: a photo or a label image.
        what: "image" or "label"; labels are never rotated.

    Raises:
        UserError: naming the file, when it is missing or its header cannot be read.
    """
    with _opened(path, what) as stored:
        width, height = stored.size
        if what == "image":
            # Pillow decodes a PNG to find its EXIF data
            orientation = stored.getexif().get(ExifTags.Base.Orientation)
            if orientation in _TURNED_ORIENTATIONS:
                return width, height
    return height, width


@contextmanager
def _decoded(path: PathLike, what: str) -> Iterator[Image.Image]:
    with _opened(path, what) as image:
        image.load()
        yield image


@contextmanager
def _opened(path: PathLike, what: str) -> Iterator[Image.Image]:
    """Open `path`; Pillow's errors on damaged files become a UserError."""
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError as error:
        raise UserError(f"{what} {os.fspath(path)} does not exist") from error
    except _DECODING_ERRORS as error:
        raise UserError(
            f"{what} {os.fspath(path)} cannot be read ({error}): replace the file"
        ) from error
