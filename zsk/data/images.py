"""Opens image files, and reads photos as 8-bit RGB, as displayed. Letters: H×W image."""

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

from zsk.errors import UnreadableFile, UserError
from zsk.terminal import printable

PathLike = str | os.PathLike[str]

IMAGE_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".jfif",
    ".png",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".webp",
    ".avif",
)
"""Of the files that are taken for photos; compared without letter case."""

logger = logging.getLogger(__name__)

TURNED_ORIENTATIONS = (5, 6, 7, 8)  # height and width change places for display
PHOTOMETRIC, _BITS_PER_SAMPLE = 262, 258  # tags of TIFF; photometric 0: white is stored as 0
WIDE_INTEGER_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_PAGED_FORMATS = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")  # JPEG's further pictures are previews


@contextmanager
def opened(path: PathLike, what: str) -> Iterator[Image.Image]:
    """Open `path`; whatever Pillow raises on a damaged file becomes an UnreadableFile."""
    with explained(f"{what} {os.fspath(path)}"):
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would never answer
            raise OSError("no regular file")
        with Image.open(path) as image:
            yield image


@contextmanager
def explained(name: str) -> Iterator[None]:
    """What Pillow raises in the block becomes an UnreadableFile, which calls the image `name`."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UnreadableFile(f"{name} does not exist") from error
    except Image.DecompressionBombError as error:
        pixels, limit = (int(number) / 1e6 for number in re.findall(r"\d+", str(error))[:2])
        raise UnreadableFile(
            f"{name} has {pixels:.4g} million pixels, and the limit is {limit:.4g} million: scale "
            "it down or cut it up"
        ) from error
    except MemoryError as error:
        raise UnreadableFile(
            f"{name} cannot be read (not enough memory): scale it down or replace the file"
        ) from error
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):  # whose text repeats the path
            raise UnreadableFile(
                f"{name} cannot be read (no image of a known format): convert it to PNG, or "
                "replace the file"
            ) from error
        raise UnreadableFile(f"{name} cannot be read ({reason}): replace the file") from error


def orientation_of(stored: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 (as stored) where the EXIF data is missing or broken."""
    try:  # Pillow decodes a PNG to find its EXIF data
        orientation: int = stored.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # whatever Pillow's parser stumbles over
        return 1
    return orientation if orientation in range(1, 9) else 1


def count_pages(stored: Image.Image) -> int:
    """Pages of a document or frames of an animation; damaged ones after the first are not."""
    try:
        return stored.n_frames if stored.format in _PAGED_FORMATS else 1  # type: ignore
    except Exception:  # as above, or an AttributeError
        return 1


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels (H,W) or (H,W,3) as an EXIF orientation, 1–8, displays them."""
    if orientation in TURNED_ORIENTATIONS:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def read_image(path: PathLike) -> np.ndarray:
    """Read a photo as (H,W,3) uint8 RGB with EXIF rotation applied: see `read_oriented_image`."""
    return read_oriented_image(path)[0]


def read_oriented_image(path: PathLike) -> tuple[np.ndarray, int]:
    """Read a photo as (H,W,3) uint8 RGB with EXIF rotation applied, and its EXIF orientation, 1–8.

    Grey, palette and CMYK images are converted, an alpha channel is dropped, with a line in the log
    where it hides something. 16-bit values are scaled to 8 bits; 32-bit integers (of a TIFF, or of
    an image without a file) count as 8 bits where all lie in 0..255, else as 16 bits. Of several
    pages the first one is read, with a line in the log.

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
    rgb = turn(np.array(image.convert("RGB")), left)
    if image.has_transparency_data and np.array(image.convert("RGBA").getchannel("A")).min() < 255:
        _warn_once(f"{name} has transparent parts: the colours that they hide are used")
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
    elif stored.mode == "I" and stored.format in ("TIFF", None) and highest <= 255:
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
