"""Reads photos as 8-bit RGB, as displayed, and label images as ids. Letters: H×W image."""

from __future__ import annotations

import functools
import logging
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from zsk.errors import UserError, printable

PathLike = str | os.PathLike[str]

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
_TURNED_ORIENTATIONS = (5, 6, 7, 8)  # height and width change places for display
_WIDE_INTEGER_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_PAGED_FORMATS = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")  # JPEG's further pictures are previews
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # tags of TIFF


def read_image(path: PathLike) -> np.ndarray:
    """Read a photo as (H,W,3) uint8 RGB with EXIF rotation applied.

    Grey, palette and CMYK images are converted, an alpha channel is dropped. 16-bit values are
    scaled to 8 bits; those of a 32-bit integer TIFF count as 8 bits where all lie in 0..255, else
    as 16 bits. Of several pages the first one is read, with a line in the log.

    Raises:
        UserError: naming the file, when it is missing, no regular file, damaged, truncated, no
            image, of unknown range, or larger than Pillow's limit of 179 million pixels.
    """
    with _decoded(path, "image") as stored:
        orientation = _orientation(stored)
        image = _eight_bits(stored, path) if stored.mode in _WIDE_INTEGER_MODES else stored
        if image.mode == "F":
            raise UserError(
                f"image {os.fspath(path)} stores floating-point values of unknown range: "
                "convert it to 8-bit RGB"
            )
        image = image.convert("RGB")
        rgb = np.array(image if orientation == 1 else image.transpose(_TURNS[orientation]))
        pages = _count_pages(stored)
    if pages > 1:
        _warn_once(f"image {os.fspath(path)} has {pages} pages or frames: the first one is used")
    return rgb


def _eight_bits(stored: Image.Image, path: PathLike) -> Image.Image:
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
            f"image {os.fspath(path)} stores values from {lowest} to {highest}, which are neither "
            "8-bit nor 16-bit grey: convert it to 8-bit RGB"
        )
    if tags.get(_PHOTOMETRIC) == 0:  # white is stored as 0, which Pillow leaves so at 16 bits
        values = white - values
    return Image.fromarray((values * (255 / white) + 0.5).astype(np.uint8))


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
        # Pillow decodes a PNG to find its EXIF data
        turned = what == "image" and _orientation(stored) in _TURNED_ORIENTATIONS
        if turned and stored.format == "TIFF":
            stored.load()  # which turns it
            turned = False
        width, height = stored.size
    return (width, height) if turned else (height, width)


def _orientation(stored: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 (as stored) where the EXIF data is missing or broken."""
    try:
        orientation = stored.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # whatever Pillow's parser stumbles over
        return 1
    return orientation if orientation in _TURNS else 1


def _count_pages(stored: Image.Image) -> int:
    """Pages of a document or frames of an animation; damaged ones after the first are not."""
    try:
        return stored.n_frames if stored.format in _PAGED_FORMATS else 1  # type: ignore
    except Exception:  # as above, or an AttributeError
        return 1


@functools.cache
def _warn_once(message: str) -> None:
    logger.warning(printable(message))


@contextmanager
def _decoded(path: PathLike, what: str) -> Iterator[Image.Image]:
    with _opened(path, what) as image:
        image.load()
        yield image


@contextmanager
def _opened(path: PathLike, what: str) -> Iterator[Image.Image]:
    """Open `path`; whatever Pillow raises on a damaged file becomes a UserError."""
    name = f"{what} {os.fspath(path)}"
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would never answer
            raise OSError("no regular file")
        with Image.open(path) as image:
            yield image
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{name} does not exist") from error
    except Image.DecompressionBombError as error:
        pixels, limit = (int(number) / 1e6 for number in re.findall(r"\d+", str(error))[:2])
        raise UserError(
            f"{name} has {pixels:.4g} million pixels, and the limit is {limit:.4g} million: scale "
            "it down or cut it up"
        ) from error
    except MemoryError as error:
        raise UserError(
            f"{name} cannot be read (not enough memory): scale it down or replace the file"
        ) from error
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):  # whose text repeats the path
            reason = "no image of a known format"
        raise UserError(f"{name} cannot be read ({reason}): replace the file") from error
