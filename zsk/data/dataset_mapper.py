"""Maps a dataset record to what the model reads: image, vocabulary and, in training, labels.

Letters: H×W image at network size, K classes, M pixels of a segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import transforms as T

from zsk.data.augmentations import eval_resize, size_before_padding, train_augmentations
from zsk.data.images import read_oriented_image
from zsk.data.labels import check_label, read_joint_label
from zsk.data.vocabularies import get_vocabulary
from zsk.looks.true_scale import grid_of_cells
from zsk.vocabulary import IGNORE_LABEL, Vocabulary, ignore_label, label_dtype

MEANS = (30.0, 225.0)  # of the new colour of a channel
CONTRASTS = (0.7, 1.4)


class ZeroShotMapper:
    """Maps a record of `zsk.data.register` to one with tensors.

    Adds to the record:
        "height", "width": int, size of the photo as displayed, before any resizing.
        "photo_orientation": int, EXIF's.
        "image": (3,H,W) uint8 RGB tensor.
        "cells": in testing with TEST.CELL_STRIDE, the (rows, columns) of the cells on the image.
        "vocabulary": the joint vocabulary, or the seen classes: in training, and in testing with
            TEST.VOCABULARY "seen".
        "sem_seg": in training, (H,W) int64 tensor of ids into "vocabulary"; its `ignore_label`, 255
            up to 255 classes, for padding and for pixels that are unlabelled or of unseen classes.
        "unpadded": in training, (height, width) of "image" without its padding.
        "unnamed": in training with INPUT.RECOLOR, (H,W) int64 tensor; distinct ids for the
            recoloured segments, whose classes are unknown, and the ignore label elsewhere.

    In training every label map goes through `Vocabulary.seen_lookup()`, so no unseen id can reach
    the loss, whatever the label files hold. An image without any seen pixel is kept: its "sem_seg"
    is the ignore label everywhere and gives no segment. The one exception is
    DATASETS.LEAK_UNSEEN_LAYOUT, with which vocabulary and ids are the joint ones in training, too.
    """

    @configurable
    def __init__(
        self,
        *,
        is_train: bool,
        vocabulary: Vocabulary,
        augmentations: Sequence[Any],
        recolor: float = 0.0,
        cell_stride: int = 0,
        leak_unseen: bool = False,
    ) -> None:
        """
        Args:
            vocabulary: in training the joint one, whose ids the label files hold; in testing the
                classes to choose from.
            augmentations: Detectron2 augmentations, applied in order.
            recolor: in training, the share of segments to recolour, in [0, 1].
            cell_stride: pixels of the image per cell of "cells"; 0: no such key.
            leak_unseen: training records have the labels of unseen classes, too.
        """
        self.recolor = recolor
        self.cell_stride = cell_stride
        self.is_train = is_train
        seen_only = is_train and not leak_unseen
        self.vocabulary = vocabulary.seen_only() if seen_only else vocabulary
        self.augmentations = T.AugmentationList(list(augmentations))
        self._num_joint_classes = count = len(vocabulary)
        joint_ids = np.arange(ignore_label(count) + 1, dtype=label_dtype(count))
        self._lookup = vocabulary.seen_lookup() if seen_only else joint_ids

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool, dataset_name: str) -> dict[str, Any]:
        """The vocabulary is `dataset_name`'s; in testing, DATASETS.TRAIN tells what is seen."""
        vocabulary = get_vocabulary(
            dataset_name,
            friendly=cfg.DATASETS.PROMPT_NAMES,
            trained_on=() if is_train else cfg.DATASETS.TRAIN,
            words=not is_train,
        )
        if not is_train and cfg.TEST.VOCABULARY == "seen":
            vocabulary = vocabulary.seen_only()
        leak = is_train and cfg.DATASETS.LEAK_UNSEEN_LAYOUT
        classes = len(vocabulary) if leak else sum(vocabulary.seen)  # of the labels
        return {
            "is_train": is_train,
            "vocabulary": vocabulary,
            "augmentations": (
                train_augmentations(cfg, ignore_label(classes)) if is_train else eval_resize(cfg)
            ),
            "recolor": cfg.INPUT.RECOLOR,
            "cell_stride": 0 if is_train else cfg.TEST.CELL_STRIDE,
            "leak_unseen": leak,
        }

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Read, check and transform one record; the given one is not changed.

        Raises:
            UserError: naming the file, when one cannot be read, sizes differ, or the label holds
                an id outside the vocabulary.
        """
        image, orientation = read_oriented_image(record["file_name"])
        record = {**record, "photo_orientation": orientation}
        height, width = image.shape[:2]
        labels = None
        if self.is_train:
            joint = read_joint_label(record)
            check_label(joint, record, (height, width), self._num_joint_classes)
            labels = self._lookup[joint]
        view = T.AugInput(image, sem_seg=labels)
        transforms = self.augmentations(view)
        image, label_maps = view.image, {}
        if self.is_train:
            record["unpadded"] = size_before_padding(transforms, image)
            label_maps["sem_seg"] = view.sem_seg
            if self.recolor > 0:
                # seeded from numpy's global state, as Detectron2's augmentations are
                rng = np.random.default_rng(np.random.randint(2**31))
                image, label_maps["sem_seg"], label_maps["unnamed"] = recolor_segments(
                    image, view.sem_seg, self.recolor, rng, ignore_label(len(self.vocabulary))
                )
        if self.cell_stride:
            record["cells"] = grid_of_cells(image.shape[:2], self.cell_stride)
        return {
            **record,
            "height": height,
            "width": width,
            "image": torch.from_numpy(image.transpose(2, 0, 1).copy()),
            "vocabulary": self.vocabulary,
            **{
                key: torch.from_numpy(map_.astype(np.int64, order="C"))
                for key, map_ in label_maps.items()
            },
        }


def recolor_segments(
    image: np.ndarray,
    labels: np.ndarray,
    probability: float,
    rng: np.random.Generator,
    ignore: int = IGNORE_LABEL,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Recolour each labelled segment with a probability in [0,1], and remove its name.

    Unlabelled pixels give no loss, so nothing teaches the head to outline unseen classes. A
    recoloured segment looks as new to the head as an unseen class, but its outline is known. It is
    our addition to the method and off by default.

    Args:
        image: (H,W,3) uint8.
        labels: (H,W) ids, or `ignore`; all pixels with one id are a segment.

    Returns:
        the image; (H,W) the given labels with `ignore` in recoloured segments; (H,W) the given
        labels of recoloured segments and `ignore` elsewhere.
    """
    image, kept = image.copy(), labels.copy()
    unnamed = np.full_like(kept, ignore)
    for label in np.unique(labels):
        if label != ignore and rng.random() < probability:
            inside = labels == label
            image[inside] = _recolor(image[inside], rng)
            unnamed[inside], kept[inside] = label, ignore
    return image, kept, unnamed


def _recolor(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Swap channels and change the mean and the contrast of (M,3) uint8 pixels."""
    channels, contrast = rng.permutation(3), rng.uniform(*CONTRASTS)
    mean = pixels.mean(axis=0)[channels]
    shift = rng.uniform(*MEANS, 3) - contrast * mean
    recolored = pixels[:, channels] * contrast + shift
    return np.asarray(recolored.round().clip(0, 255).astype(np.uint8))
