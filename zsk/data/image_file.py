"""Opens image files; whatever is wrong with one becomes one kind of error."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import ExifTags, Image, UnidentifiedImageError

from zsk.errors import UnreadableFile, UserError

PathLike = str | os.PathLike[str]

PHOTOMETRIC = 262  # a tag of TIFF; 0: white is stored as 0
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
            reason = "no image of a known format"
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
