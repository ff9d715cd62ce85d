"""Segments of a photo: masks, boxes, scores, outlines, and what head and CLIP think of them.

Letters: H x W photo, K names, G groups of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from pycocotools import mask as coco_mask
from scipy import ndimage
from torch import Tensor

from zsk.answer import Answer


@dataclass(frozen=True)
class Opinion:
    """How well a name fits some pixels, each number in [0,1].

    Attributes:
        score: of the ensemble.
        head, clip: of the proposal head and of CLIP; None where the model does not have them, names
            single pixels (PerPixelNet), or TEST.TILES averaged the scores of several tiles.
    """

    name: str
    score: float
    head: float | None
    clip: float | None


@dataclass(frozen=True, eq=False, repr=False)
class Segment:
    """All pixels of one name.

    Attributes:
        label: its id.
        mask: (H,W) bool.
        score: in [0,1], the mean confidence of its pixels.
        box: left, top, right, bottom in pixels, the last two exclusive.
        area: pixels.
        opinions: the best names of these pixels, the best first.
    """

    name: str
    label: int
    mask: np.ndarray
    score: float
    box: tuple[int, int, int, int]
    area: int
    opinions: tuple[Opinion, ...]

    def __repr__(self) -> str:
        return f"<Segment {self.name!r}: {self.area} pixels, score {self.score:.2f}>"

    def summary(self) -> dict[str, Any]:
        """Everything but the mask, for JSON."""
        opinions = [vars(opinion) for opinion in self.opinions]
        return {
            **{"name": self.name, "label": self.label, "score": round(self.score, 4)},
            **{"box": list(self.box), "area": self.area, "opinions": opinions},
        }


def find_segments(
    labels: np.ndarray, confidence: np.ndarray, names: Sequence[str], answer: Answer
) -> tuple[Segment, ...]:
    """One segment for each name that has a pixel, the largest first.

    Args:
        labels: (H,W) int64; values from K on are background.
        confidence: (H,W) float32 in [0,1].
        answer: whose labels these are.
    """
    counts = np.bincount(labels.ravel(), minlength=len(names))[: len(names)]
    present = [int(k) for k in np.argsort(-counts, kind="stable") if counts[k]]
    groups = np.full(max(labels.max(), len(names)) + 1, -1)
    groups[present] = np.arange(len(present))
    places = groups[labels]
    opinions = best_opinions(answer, torch.from_numpy(places), names, 5, len(present))
    segments = []
    for label, (rows, columns), best in zip(present, ndimage.find_objects(places + 1), opinions):
        mask = labels == label
        box = columns.start, rows.start, columns.stop, rows.stop
        score = float(confidence[mask].mean())
        segments.append(Segment(names[label], label, mask, score, box, int(counts[label]), best))
    return tuple(segments)


def best_opinions(
    answer: Answer, groups: Tensor, names: Sequence[str], best: int, count: int = 1
) -> list[tuple[Opinion, ...]]:
    """The best names of each of `count` groups of pixels.

    Args:
        groups: (H,W) int64, in [0,count) for the pixels of a group, else another value.
        names: K; the answer may score a further class, which is left out.
        best: names of a group at most.
    """
    scores, head, clip = answer.opinions(groups, count)
    order = scores[:, : len(names)].argsort(dim=1, descending=True, stable=True)

    def opinion(group: int, k: int) -> Opinion:
        apart = (None if of is None else float(of[group, k]) for of in (head, clip))
        return Opinion(names[k], float(scores[group, k]), *apart)

    return [tuple(opinion(g, k) for k in row[:best]) for g, row in enumerate(order.tolist())]


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
