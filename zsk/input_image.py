"""Photos as users have them: arrays, PIL images, files."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from PIL import Image

from zsk.data.images import displayed, explained, read_image
from zsk.errors import UserError

ImageLike = np.ndarray | Image.Image | str | os.PathLike[str]


def rgb_array(image: ImageLike) -> np.ndarray:
    """A photo as a new array (H,W,3) of uint8 RGB.

    Args:
        image: the path of a file (`zsk.data.images.read_image`); a PIL image, which is turned as
            its EXIF data says; or an array (H,W,3), red first, or (H,W), grey, of uint8 from 0 to
            255 or of floats from 0 to 1.

    Raises:
        UserError: anything else, no pixel, or a file that cannot be read.
    """
    if isinstance(image, (str, os.PathLike)):
        return read_image(image)
    if isinstance(image, Image.Image):
        if 0 in image.size:
            raise UserError(f"the PIL image has no pixel: its size is {image.size}")
        with explained("the PIL image"):  # PIL reads a file when its pixels are asked for
            return displayed(image, "the PIL image")[0]
    if isinstance(image, np.ma.MaskedArray):
        raise UserError("an image must not be a masked array: fill it, such as image.filled(0)")
    if not isinstance(image, np.ndarray):
        raise UserError(
            f"an image must be a numpy array, a PIL image or a path, but this is {type(image)}"
        )
    if image.ndim == 2:
        image = np.stack([image] * 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise UserError(
            "an image must be of shape (height, width, 3), red first, or (height, width), with at "
            f"least one pixel, but this one is {image.shape}"
        )
    return _eight_bits(image)


def file_of(image: ImageLike) -> str | None:
    """The path of a photo that is given as one."""
    return str(os.fspath(image)) if isinstance(image, (str, os.PathLike)) else None


def _eight_bits(image: np.ndarray[Any, Any]) -> np.ndarray:
    if image.dtype == np.uint8:
        return image.copy()  # the caller may use the array for the next photo
    if not np.issubdtype(image.dtype, np.floating):
        raise UserError(
            f"an image must be an array of uint8, 0 to 255, or of floats, 0 to 1, but this one is "
            f"of {image.dtype}"
        )
    if not (image.min() >= 0 and image.max() <= 1):  # NaN is not, either
        raise UserError(
            f"the values of a float image must lie in [0, 1], but go from {image.min():.4g} to "
            f"{image.max():.4g}: divide by 255, or give uint8"
        )
    return (image * 255 + 0.5).astype(np.uint8)
