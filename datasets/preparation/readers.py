"""Reads label files that are no images of ids. Letters: H×W label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from zsk.data.images import opened
from zsk.errors import UserError


def read_sbd_label(path: Path) -> np.ndarray:
    """Read the class map of an SBD file as (H,W) uint8: 0 background, 1–20, 255.

    Raises:
        UserError: naming the file, when it is missing, damaged or not an SBD class file.
    """
    label = _read_matlab(path, "an SBD class file", "GTcls", "Segmentation")
    if not isinstance(label, np.ndarray) or label.dtype != np.uint8 or label.ndim != 2:
        raise UserError(
            f"label {path} holds no 8-bit map of classes in GTcls.Segmentation: take SBD's "
            "dataset/cls, not dataset/inst"
        )
    return label


def read_label_map(path: Path) -> np.ndarray:
    """Pascal Context's labels of a photo, (H,W) uint16, from the LabelMap of its .mat file.

    Raises:
        UserError: naming the file, when it is missing, damaged or holds no such map.
    """
    label = _read_matlab(path, "a label of Pascal Context", "LabelMap")
    if not isinstance(label, np.ndarray) or label.ndim != 2 or label.dtype not in ("u1", "u2"):
        raise UserError(f"label {path} holds no map of whole numbers: take Pascal Context's own")
    return label.astype(np.uint16)


def read_object_classes(path: Path) -> np.ndarray:
    """ADE20K's classes of a photo, (H,W) uint16, from a _seg.png file: R // 10 * 256 + G.

    Raises:
        UserError: naming the file, when it cannot be read or holds no colours.
    """
    with opened(path, "label") as stored:
        if stored.mode != "RGB":
            raise UserError(
                f"label {path} has no three channels (mode {stored.mode}): take ADE20K's _seg.png"
            )
        red_green = np.array(stored)[..., :2].astype(np.uint16)
    return red_green[..., 0] // 10 * 256 + red_green[..., 1]


def _read_matlab(path: Path, kind: str, variable: str, field: str = "") -> Any:
    """A variable of a MATLAB file, which is `kind`, or the field of a variable that is a struct."""
    try:
        with path.open("rb") as file:
            content = loadmat(file, variable_names=[variable])[variable]
        return content[field][0, 0] if field else content
    except FileNotFoundError as error:
        raise UserError(f"label {path} does not exist") from error
    # a damaged file makes scipy raise nearly anything, from zlib.error to KeyError
    except Exception as error:
        raise UserError(
            f"label {path} cannot be read as {kind} ({type(error).__name__}: {error}): "
            "replace the file"
        ) from error
