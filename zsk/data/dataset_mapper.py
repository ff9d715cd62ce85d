"""Turns a dataset record into what the model reads: image, vocabulary and, in training, labels.

Letters: H×W image at network size, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import transforms as T

from zsk.data.augmentations import train_augmentations
from zsk.data.eval_options import eval_resize, seen_names_only
from zsk.data.images import read_image
from zsk.data.labels import check_label, read_joint_label
from zsk.data.recoloring import recolor_segments
from zsk.data.register import get_vocabulary
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary


class ZeroShotMapper:
    """Maps a record of `zsk.data.register` to one with tensors.

    Adds to the record:
        "height", "width": int, size of the photo as displayed, before any resizing.
        "image": (3,H,W) uint8 RGB tensor.
        "vocabulary": the seen classes in training and where TEST.VOCABULARY says so, otherwise the
            joint vocabulary.
        "sem_seg": training only, (H,W) int64 tensor of ids into "vocabulary"; 255 for padding,
            unlabelled pixels and pixels of unseen classes.
        "unnamed": training with INPUT.RECOLOR only, (H,W) int64 tensor: the ids of segments whose
            colours were changed, which tell them apart but name nothing any more; 255 elsewhere.

    In training every label map goes through `Vocabulary.seen_lookup()`, so no unseen id can reach
    the loss, whatever the label files hold. An image without any seen pixel is kept: its "sem_seg"
    is 255 everywhere and gives no segment.
    """

    @configurable
    def __init__(
        self,
        *,
        is_train: bool,
        vocabulary: Vocabulary,
        augmentations: Sequence[Any],
        recolor: float = 0.0,
    ) -> None:
        """
        Args:
            is_train: read and transform the labels too.
            vocabulary: in training the joint one (K classes), whose ids the label files hold; in
                evaluation the names that compete.
            augmentations: Detectron2 augmentations, applied in order.
            recolor: in training the share of the segments that then get new colours, in [0, 1].

        Raises:
            UserError: training, and no class is seen or K is over 255; or `recolor` is no share.
        """
        if not 0 <= recolor <= 1:
            raise UserError(f"INPUT.RECOLOR is {recolor}: give a share of the segments, 0 to 1")
        self.recolor = recolor
        self.is_train = is_train
        self.vocabulary = vocabulary.seen_only() if is_train else vocabulary
        self.augmentations = T.AugmentationList(list(augmentations))
        self._num_joint_classes = len(vocabulary)
        self._joint_to_seen = vocabulary.seen_lookup() if is_train else None

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool, dataset_name: str) -> dict[str, Any]:
        """Read INPUT.*, TEST.* and DATASETS.PROMPT_NAMES; the vocabulary is `dataset_name`'s.

        In testing, DATASETS.TRAIN tells which classes are seen (see `get_vocabulary`).

        Raises:
            UserError: the data set is not registered, or two keys contradict each other.
        """
        vocabulary = get_vocabulary(
            dataset_name,
            friendly=cfg.DATASETS.PROMPT_NAMES,
            trained_on=() if is_train else cfg.DATASETS.TRAIN,
        )
        if not is_train and seen_names_only(cfg):
            vocabulary = vocabulary.seen_only()
        return {
            "is_train": is_train,
            "vocabulary": vocabulary,
            "augmentations": _train_augmentations(cfg) if is_train else eval_resize(cfg),
            "recolor": cfg.INPUT.RECOLOR,
        }

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Read, check and transform one record; the given one is left as it is.

        Raises:
            UserError: naming the file, when one cannot be read, sizes differ, or the label holds
                an id outside the vocabulary.
        """
        image = read_image(record["file_name"])
        labels = None
        if self._joint_to_seen is not None:
            labels = self._joint_to_seen[self._read_joint_labels(record, image)]
        view = T.AugInput(image, sem_seg=labels)
        self.augmentations(view)
        pixels, label_maps = self._training_view(view)
        mapped = {
            **record,
            "height": image.shape[0],
            "width": image.shape[1],
            "image": torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C")),
            "vocabulary": self.vocabulary,
        }
        for name, label_map in label_maps.items():
            mapped[name] = torch.from_numpy(np.array(label_map, dtype=np.int64, order="C"))
        return mapped

    def _training_view(self, view: T.AugInput) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The image and its label maps by their names in the record; none outside training."""
        if view.sem_seg is None:
            return view.image, {}
        if self.recolor == 0:
            return view.image, {"sem_seg": view.sem_seg}
        # seeded from numpy's global state, as Detectron2's augmentations are
        rng = np.random.default_rng(np.random.randint(2**31))
        image, labels, unnamed = recolor_segments(view.image, view.sem_seg, self.recolor, rng)
        return image, {"sem_seg": labels, "unnamed": unnamed}

    def _read_joint_labels(self, record: dict[str, Any], image: np.ndarray) -> np.ndarray:
        """(H,W) uint8 ids into the joint vocabulary, at the size of the photo."""
        joint = read_joint_label(record)
        check_label(joint, record, image.shape[:2], self._num_joint_classes)
        return joint


def _train_augmentations(cfg: CfgNode) -> list[Any]:
    """The random views that cfg.INPUT asks for."""
    if cfg.INPUT.RANDOM_FLIP not in ("horizontal", "none"):
        raise UserError(
            f"INPUT.RANDOM_FLIP is {cfg.INPUT.RANDOM_FLIP!r}: choose 'horizontal' or 'none'"
        )
    crop_size = tuple(cfg.INPUT.CROP.SIZE) if cfg.INPUT.CROP.ENABLED else None
    if crop_size and not all(isinstance(side, int) and side > 0 for side in crop_size):
        raise UserError(
            f"INPUT.CROP.SIZE is {list(crop_size)}: give height and width in whole pixels"
        )
    return train_augmentations(
        min_sizes=cfg.INPUT.MIN_SIZE_TRAIN,
        size_sampling=cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING,
        max_size=cfg.INPUT.MAX_SIZE_TRAIN,
        crop_size=crop_size,
        single_category_max_area=cfg.INPUT.CROP.SINGLE_CATEGORY_MAX_AREA,
        color_jitter=cfg.INPUT.COLOR_AUG_SSD,
        horizontal_flip=cfg.INPUT.RANDOM_FLIP == "horizontal",
        size_divisibility=cfg.INPUT.SIZE_DIVISIBILITY,
    )
