"""Segments in the format of COCO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

if TYPE_CHECKING:
    from zsk.segmentation import Segmentation


def coco_dictionary(
    segmentation: Segmentation, polygons: bool, file_name: str, image_id: int
) -> dict[str, Any]:
    """See `zsk.segmentation.Segmentation.to_coco`."""
    height, width = segmentation.labels.shape
    annotations = []
    for number, segment in enumerate(segmentation.segments, 1):
        left, top, right, bottom = segment.box
        annotation = {
            **{"id": number, "image_id": image_id, "category_id": segment.label + 1},
            **{"bbox": [left, top, right - left, bottom - top], "area": segment.area},
            **{"iscrowd": 0, "score": segment.score},
        }
        outline = outlines(segment.mask) if polygons else run_lengths(segment.mask)
        annotations.append({**annotation, "segmentation": outline})
    image = {"id": image_id, "file_name": file_name, "width": width, "height": height}
    categories = [{"id": k, "name": name} for k, name in enumerate(segmentation.names, 1)]
    return {"images": [image], "annotations": annotations, "categories": categories}


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """(H,W) bool → COCO's compressed run lengths, {"size": [H, W], "counts": text}."""
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")}


def outlines(mask: np.ndarray) -> list[list[float]]:
    """(H,W) bool → the outer outline of each part, [x, y, x, y, …] in pixels; holes are filled.

    A part inside a hole of another part has an outline, too.

    The outlines run a quarter of a pixel inside of the pixels' edges.
    """
    # OpenCV draws through the centres of pixels: of each pixel's four quarters here, so that a part
    # one pixel wide has an area, too
    quarters = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    found, tree = cv2.findContours(quarters, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outer = [
        contour
        for contour, (*_, parent) in zip(found, [] if tree is None else tree[0])
        if parent < 0
    ]
    return [((contour.reshape(-1) + 0.5) / 2).tolist() for contour in outer]
