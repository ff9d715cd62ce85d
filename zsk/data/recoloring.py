"""Segments of new colours and no name: what teaches masks of things that have no label.

An unlabelled pixel costs a mask nothing, so a mask that learned "grey bricks" also takes the grey
pebbles that nobody labelled. A labelled segment whose colours are changed is as new to the head as
an unseen class, but its outline is known. It is ours, not the method's: off by default.

Letters: H×W image, M pixels of a segment.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zsk.vocabulary import IGNORE_LABEL

MEANS = (30.0, 225.0)  # of a new colour, per channel
CONTRASTS = (0.7, 1.4)


class Recolored(NamedTuple):
    """An image with some of its segments recoloured."""

    image: np.ndarray  # (H,W,3) uint8
    labels: np.ndarray  # (H,W), IGNORE_LABEL where the colours are new: what it shows has no name
    unnamed: np.ndarray  # (H,W) as `labels`, the other way round: the old label where they are new


def recolor_segments(
    image: np.ndarray, labels: np.ndarray, probability: float, rng: np.random.Generator
) -> Recolored:
    """Give each labelled segment new colours, with a probability in [0,1].

    Args:
        image: (H,W,3) uint8.
        labels: (H,W) ids, IGNORE_LABEL where there is none; all pixels of one id are a segment.
    """
    image, kept = image.copy(), labels.copy()
    unnamed = np.full_like(kept, IGNORE_LABEL)
    pixels = image.reshape(-1, 3)
    for label in np.flatnonzero(np.bincount(labels.ravel(), minlength=IGNORE_LABEL)):
        if label != IGNORE_LABEL and rng.random() < probability:
            inside = np.flatnonzero(labels == label)
            pixels[inside] = _recolor(pixels[inside], rng)
            unnamed.flat[inside], kept.flat[inside] = label, IGNORE_LABEL
    return Recolored(image, kept, unnamed)


def _recolor(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(M,3) uint8 around another mean, with channels swapped: texture and shading stay."""
    channels, contrast = rng.permutation(3), rng.uniform(*CONTRASTS)
    mean = pixels.mean(axis=0)[channels]
    shift = rng.uniform(*MEANS, 3) - contrast * mean
    # the same table for all pixels of a channel: three look-ups instead of arithmetic in floats
    tables = np.arange(256)[:, None] * contrast + shift
    tables = tables.round().clip(0, 255).astype(np.uint8)
    return np.stack([tables[pixels[:, c], i] for i, c in enumerate(channels)], axis=1)
