"""Augmentation that recolours segments and removes their names, for masks of unseen classes.

Unlabelled pixels give no loss, so nothing teaches the head to outline unseen classes. A recoloured
segment looks as new to the head as an unseen class, but its outline is known. It is our addition
to the method and off by default.

Letters: H×W image, M pixels of a segment.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zsk.vocabulary import IGNORE_LABEL

MEANS = (30.0, 225.0)  # of the new colour of a channel
CONTRASTS = (0.7, 1.4)


class Recolored(NamedTuple):
    """An image with some segments recoloured."""

    image: np.ndarray  # (H,W,3) uint8
    labels: np.ndarray  # (H,W), the given labels; `ignore` in recoloured segments
    unnamed: np.ndarray  # (H,W), the given labels of recoloured segments; `ignore` elsewhere


def recolor_segments(
    image: np.ndarray,
    labels: np.ndarray,
    probability: float,
    rng: np.random.Generator,
    ignore: int = IGNORE_LABEL,
) -> Recolored:
    """Recolour each labelled segment with a probability in [0,1].

    Args:
        image: (H,W,3) uint8.
        labels: (H,W) ids, or `ignore`; all pixels with one id are a segment.
    """
    image, kept = image.copy(), labels.copy()
    unnamed = np.full_like(kept, ignore)
    for label in np.unique(labels):
        if label != ignore and rng.random() < probability:
            inside = labels == label
            image[inside] = _recolor(image[inside], rng)
            unnamed[inside], kept[inside] = label, ignore
    return Recolored(image, kept, unnamed)


def _recolor(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Swap channels and change the mean and the contrast of (M,3) uint8 pixels."""
    channels, contrast = rng.permutation(3), rng.uniform(*CONTRASTS)
    mean = pixels.mean(axis=0)[channels]
    shift = rng.uniform(*MEANS, 3) - contrast * mean
    recolored = pixels[:, channels] * contrast + shift
    return np.asarray(recolored.round().clip(0, 255).astype(np.uint8))
