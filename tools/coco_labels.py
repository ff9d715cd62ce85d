"""Labels from COCO's JSON (used by convert_labels.py)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pycocotools.coco import COCO

from zsk.errors import UserError
from zsk.vocabulary import ignore_label, label_dtype


def load_coco(file: Path) -> tuple[COCO, list[str]]:
    """The annotations and the names of their categories in the order of their ids."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(file)
        names = [coco.cats[key]["name"] for key in sorted(coco.cats)]
    except (OSError, ValueError, TypeError, KeyError, AssertionError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"--coco {file} cannot be read as COCO's JSON ({reason})") from error
    if not names or not coco.imgs:
        raise UserError(f"--coco {file} lists no categories or no images")
    if len(coco.cats) < len(coco.dataset["categories"]):
        raise UserError(f"--coco {file} gives one id to several categories: number them anew")
    if len(coco.imgs) < len(coco.dataset["images"]):
        raise UserError(f"--coco {file} gives one id to several images: number them anew")
    lost = sum(len(found) for key, found in coco.imgToAnns.items() if key not in coco.imgs)
    if lost:
        raise UserError(
            f"--coco {file} has {lost} annotations of images that it does not list: compare "
            "image_id with the ids of the images"
        )
    return coco, names


def from_coco(
    coco: COCO, names: Sequence[str], background: bool
) -> Iterator[tuple[str, np.ndarray]]:
    """One label per image; small masks lie on large ones, other pixels are no label.

    With `background` the last class has the other pixels.

    Raises:
        UserError: naming the image and annotation, when one cannot be drawn.
    """
    ids = {category: k for k, category in enumerate(sorted(coco.cats))}
    rest = len(ids) if background else ignore_label(len(names))
    for key, image in coco.imgs.items():
        name, size = image.get("file_name"), (image.get("height"), image.get("width"))
        if not isinstance(name, str) or not all(type(side) is int and side > 0 for side in size):
            raise UserError(f"--coco: image {name or key} needs a file_name, a height and a width")
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise UserError(f"--coco: image {name} would be written outside of --output")
        label = np.full(size, rest, label_dtype(len(names)))
        masks = []
        for annotation in coco.imgToAnns[key]:
            told = f"--coco: annotation {annotation.get('id')} of image {name}"
            category = annotation.get("category_id")
            if category not in list(ids):  # it may be of any type
                raise UserError(f"{told} has the category_id {category!r}, which is not listed")
            masks.append((_mask_of(coco, annotation, size, told), ids[category]))
        for mask, label_id in sorted(masks, key=lambda pair: -pair[0].sum()):
            label[mask] = label_id
        yield path.with_suffix("").as_posix(), label


def _mask_of(
    coco: COCO, annotation: dict[str, Any], size: tuple[int, int], told: str
) -> np.ndarray:
    """(H,W) bool; `told`: the beginning of an error message."""
    if not annotation.get("segmentation"):
        raise UserError(f"{told} has no segmentation: a box alone is no mask")
    try:
        mask = coco.annToMask(annotation) > 0
    except Exception as error:  # whatever pycocotools stumbles over
        raise UserError(f"{told} has neither polygons nor a run-length mask") from error
    if mask.shape != size:
        raise UserError(f"{told} has a mask of {mask.shape[1]}×{mask.shape[0]} pixels")
    return mask
