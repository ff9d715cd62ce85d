"""Reads photos as 8-bit RGB, as displayed, and label images as ids. Letters: H×W image."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import ExifTags, Image, ImageOps

from zsk.errors import UnreadableFile, UserError

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
TURNED_ORIENTATIONS = (5, 6, 7, 8)  # EXIF: height and width change places for display
_WIDE_INTEGER_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def read_image(path: PathLike) -> np.ndarray:
    """Read a photo as (H,W,3) uint8 RGB with EXIF rotation applied: see `read_oriented_image`."""
    return read_oriented_image(path)[0]


def read_oriented_image(path: PathLike) -> tuple[np.ndarray, int]:
    """Read a photo as (H,W,3) uint8 RGB with EXIF rotation applied, and its EXIF orientation, 1–8.

    Grey, palette and CMYK images are converted, 16-bit values are scaled to 8 bits, an alpha
    channel is dropped.

    Raises:
        UserError: naming the file, when it is missing, damaged, truncated or no image.
    """
    with _opened(path, "image") as stored:
        orientation = _orientation(stored)  # before decoding, which applies it to a TIFF
        stored.load()
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
        return np.array(image.convert("RGB")), orientation


def read_label(path: PathLike) -> np.ndarray:
    """Read a grey or palette label image as (H,W) ids, exactly as stored.

    The indices of a palette image are the ids. Ids are uint8, or uint16 in a file with more bits.

    Raises:
        UserError: naming the file, when it holds colours, is compressed with losses or has an EXIF
            orientation, or ids lie outside 0..65535, or it is missing, damaged or no image.
    """
    with _opened(path, "label") as stored:
        _check_label_file(stored, path)
        tiles = getattr(stored, "tile", None)
        raw_mode = tiles[0][3] if tiles else ""
        stored.load()
        _check_label_file(stored, path)  # a PNG may have its orientation behind the pixels
        ids = np.array(stored)
    if stored.mode in ("L", "P", "1"):
        # Pillow stretches grey values of 2 and 4 bits to 0–255
        return ids.astype(np.uint8) // {"L;2": 85, "L;4": 17}.get(raw_mode, 1)
    if ids.min() < 0 or ids.max() > 65535:
        raise UserError(
            f"label {os.fspath(path)} holds the id {ids.max() if ids.max() > 0 else ids.min()}: "
            "ids lie in 0–65535"
        )
    return ids.astype(np.uint16)


def _check_label_file(stored: Image.Image, path: PathLike) -> None:
    if stored.format == "JPEG":
        raise UserError(
            f"label {os.fspath(path)} is a JPEG, whose compression changes ids: store a PNG"
        )
    if stored.mode not in ("L", "P", "1", *_WIDE_INTEGER_MODES):
        raise UserError(
            f"label {os.fspath(path)} holds colours or transparency (mode {stored.mode}) "
            "instead of class ids: store one id per pixel (grey or palette PNG), "
            "tools/convert_labels.py makes them from colours"
        )
    if "exif" in stored.info and _orientation(stored) != 1:
        raise UserError(
            f"label {os.fspath(path)} has an EXIF orientation, which programs read differently: "
            "store it as it is displayed, without EXIF data"
        )


def read_photo_size(path: PathLike) -> tuple[tuple[int, int], int]:
    """(height, width) of a photo as displayed, and its EXIF orientation, 1–8.

    The header of the file is read; PNG photos are decoded.

    Raises:
        UserError: naming the file, when it is missing or its header cannot be read.
    """
    with _opened(path, "image") as stored:
        width, height = stored.size
        orientation = _orientation(stored)
        # the size of a TIFF is the displayed one
        if orientation in TURNED_ORIENTATIONS and stored.format != "TIFF":
            width, height = height, width
    return (height, width), orientation


def read_label_size(path: PathLike) -> tuple[int, int]:
    """(height, width) of a label from the header of the file; errors as `read_label`."""
    with _opened(path, "label") as stored:
        _check_label_file(stored, path)
        width, height = stored.size
    return height, width


def _orientation(stored: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 (as stored) where the EXIF data is missing or broken."""
    try:  # Pillow decodes a PNG to find its EXIF data
        orientation: int = stored.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # whatever Pillow's parser stumbles over
        return 1
    return orientation if orientation in range(1, 9) else 1


@contextmanager
def _opened(path: PathLike, what: str) -> Iterator[Image.Image]:
    """Open `path`; Pillow's errors on damaged files become an UnreadableFile."""
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError as error:
        raise UnreadableFile(f"{what} {os.fspath(path)} does not exist") from error
    except _DECODING_ERRORS as error:
        raise UnreadableFile(
            f"{what} {os.fspath(path)} cannot be read ({error}): replace the file"
        ) from error
