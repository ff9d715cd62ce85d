"""Naming and labelling of an exported look in numpy, for programs without torch.

The page docs/export.md shows these lines. `look` has the outputs of the exported network by name,
`words` is the loaded words.npz: both are mappings from a name to an array.

Letters: N masks of h×w cells, K words, E embedding width, H×W label map.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def softmax(logits: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def name(look: Mapping[str, np.ndarray], words: Mapping[str, np.ndarray]) -> np.ndarray:
    """Scores (N,K) of the words for each mask."""
    mode, seen, lam = str(words["mode"]), words["seen"], float(words["lam"])
    if mode != "clip":  # the opinion of the network itself
        logits = look["head"]  # (N,K+1): the last column is "no object"
        if words["classifier"] == "text":
            columns = np.vstack([words["text"], words["no_object"]])  # (K+1,E)
            logits = words["head_temperature"] * look["head"] @ columns.T
        names = softmax(logits, axis=1)[:, :-1]
        favour = words["seen_penalty"] * seen  # moves probability between words alone
        head = names.sum(axis=1, keepdims=True) * softmax(logits[:, :-1] - favour, axis=1)
        if mode == "head":
            return head
    clip = softmax(words["clip_temperature"] * look["clip"] @ words["region_text"].T, axis=1)
    valid = look["valid"][:, None]  # False: a mask without a pixel, which CLIP cannot see
    if mode == "clip":
        return clip * valid
    power = np.where(seen, lam, 1 - lam).astype(np.float32)
    without = head if words["empty"] == "head" else head**power
    return np.where(valid, head**power * clip ** (1 - power), without)


def label(
    masks: np.ndarray, scores: np.ndarray, words: Mapping[str, np.ndarray], size: tuple[int, int]
) -> np.ndarray:
    """Positions of the best words, (H,W) int64; `size` is (H,W) of the photo before resizing."""
    sharpness = float(words["mask_softmax"])

    def votes(logits: np.ndarray) -> np.ndarray:
        return softmax(sharpness * logits, axis=0) if sharpness else (1 + np.tanh(logits / 2)) / 2

    def bilinear(cells: int, pixels: int) -> np.ndarray:  # (pixels,cells), rows sum to 1
        places = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
        return np.maximum(1 - abs(places[:, None] - np.arange(cells)), 0).astype(np.float32)

    late = words["votes_at"] == "result"  # votes of resized logits, else resized votes
    wide = (masks if late else votes(masks)) @ bilinear(masks.shape[2], size[1]).T  # (N,h,W)
    labels = np.empty(size, dtype=np.int64)
    for y, weights in enumerate(bilinear(masks.shape[1], size[0])):
        row = weights @ wide  # (N,W)
        labels[y] = (scores.T @ (votes(row) if late else row)).argmax(axis=0)
    return labels
