"""Reads label images as ids, exactly as stored. Letters: H×W label map."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from zsk.data.images import (
    PHOTOMETRIC,
    WIDE_INTEGER_MODES,
    PathLike,
    count_pages,
    opened,
    orientation_of,
)
from zsk.errors import UserError

_LOSSY_FORMATS = ("JPEG", "JPEG2000", "MPO")
_LOSSY_COMPRESSIONS = ("jpeg", "tiff_jpeg", "webp")  # of TIFF
_STRETCHED = {"L;2": 85, "L;4": 17}  # raw modes whose grey values Pillow stretches to 0–255


def read_label(path: PathLike) -> np.ndarray:
    """Read a grey or palette label image as (H,W) ids, exactly as stored.

    The indices of a palette image are the ids. Ids are uint8, or uint16 in a file with more bits.

    Raises:
        UserError: naming the file, when it holds colours, is compressed with losses, has several
            pages, an orientation or inverted values, or ids lie outside 0..65535, or it is missing,
            damaged or no image.
    """
    with opened(path, "label") as stored:
        _check_label_file(stored, path)
        tiles = getattr(stored, "tile", None)
        raw_mode = tiles[0][3] if tiles else ""
        raw_mode = raw_mode[0] if isinstance(raw_mode, tuple) else raw_mode  # of a TIFF
        stored.load()
        _check_label_file(stored, path)  # a PNG may have its orientation behind the pixels
        ids = np.array(stored)
    if stored.mode in ("L", "P", "1"):
        return ids.astype(np.uint8) // _STRETCHED.get(str(raw_mode)[:3], 1)
    if ids.min() < 0 or ids.max() > 65535:
        raise UserError(
            f"label {os.fspath(path)} holds the id {ids.max() if ids.max() > 0 else ids.min()}: "
            "ids lie in 0–65535"
        )
    return ids.astype(np.uint16)


def _check_label_file(stored: Image.Image, path: PathLike) -> None:
    """Refuse a file that does not hold ids faithfully, or that programs read differently."""
    lossy = stored.format == "TIFF" and stored.info.get("compression") in _LOSSY_COMPRESSIONS
    fault = ""
    if lossy or stored.format in _LOSSY_FORMATS:
        fault = f"is a {stored.format}, whose compression can change ids: store a PNG"
    elif stored.mode == "F":
        fault = "holds floating-point values instead of class ids: store whole numbers"
    elif stored.mode not in ("L", "P", "1", *WIDE_INTEGER_MODES):
        fault = (
            f"holds colours or transparency (mode {stored.mode}) instead of class ids: "
            "store one id per pixel (grey or palette PNG), tools/convert_labels.py makes them from "
            "colours"
        )
    elif _is_turned(stored):
        fault = (
            "has an EXIF orientation, which programs read differently: store it as it is "
            "displayed, without EXIF data"
        )
    elif getattr(stored, "tag_v2", {}).get(PHOTOMETRIC) == 0:
        fault = "stores white as 0, which programs read differently: store a PNG"
    elif count_pages(stored) > 1:
        fault = f"has {count_pages(stored)} pages or frames: store one label per file"
    if fault:
        raise UserError(f"label {os.fspath(path)} {fault}")


def _is_turned(stored: Image.Image) -> bool:
    # without such a sign Pillow would decode a PNG to look for its orientation
    signs = any(word in str(key).lower() for key in stored.info for word in ("exif", "xmp"))
    return (signs or stored.format != "PNG") and orientation_of(stored) != 1


def read_label_size(path: PathLike) -> tuple[int, int]:
    """(height, width) of a label from the header of the file; errors as `read_label`."""
    with opened(path, "label") as stored:
        _check_label_file(stored, path)
        width, height = stored.size
    return height, width
