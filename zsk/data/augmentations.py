"""The random views for training and the fixed size for testing, built on Detectron2's transforms.

Letters: H×W image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.projects.point_rend import ColorAugSSDTransform
from fvcore.transforms.transform import PadTransform, Transform
from PIL import Image

from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL

PADDING_GREY = 128  # mid-grey, near the mean of photographs
MAX_CROP_REDRAWS = 5  # of a crop without a labelled pixel; our choice


class ResizeShortestEdge(T.ResizeShortestEdge):
    """Detectron2's resize for very thin images, for a shortest side of 0 and for whole cells.

    Sides have at least one pixel. A shortest side of 0 keeps the size up to `max_size`. With a
    `multiple`, both sides become the nearest multiples of it, at least one.
    """

    def __init__(self, short: Any, max_size: int, multiple: int = 1, style: str = "choice") -> None:
        super().__init__(short, max_size, style)
        self.multiple = multiple

    def get_transform(self, image: np.ndarray) -> Transform:
        transform = super().get_transform(image)
        height, width = image.shape[:2]
        if isinstance(transform, T.ResizeTransform):
            size = transform.new_h, transform.new_w
        else:  # a shortest side of 0
            size = self.get_output_shape(height, width, min(height, width), self.max_size)
        new_size = (self.multiple * max(1, round(side / self.multiple)) for side in size)
        return _Resize(height, width, *new_size, self.interp)


class _Resize(T.ResizeTransform):
    """Detectron2's resize, which takes other pixels of a 16-bit label map than of an 8-bit one."""

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        size = self.new_w, self.new_h
        return np.array(Image.fromarray(segmentation).resize(size, Image.Resampling.NEAREST))


class LabelledCrop(T.Augmentation):
    """Detectron2's `RandomCrop_CategoryAreaConstraint`, drawn again while no pixel is labelled.

    After `MAX_CROP_REDRAWS` further draws the last crop is taken: training copes with an image
    without segments. `ignore` is the label of unlabelled pixels.
    """

    def __init__(
        self, size: tuple[int, int], single_category_max_area: float, ignore: int = IGNORE_LABEL
    ) -> None:
        self.ignore = ignore
        self.draw = T.RandomCrop_CategoryAreaConstraint(
            "absolute", size, single_category_max_area, ignored_category=ignore
        )

    def get_transform(self, image: np.ndarray, sem_seg: np.ndarray) -> Transform:
        crop = self.draw.get_transform(image, sem_seg)
        if (sem_seg == self.ignore).all():
            return crop
        for _ in range(MAX_CROP_REDRAWS):
            if (crop.apply_segmentation(sem_seg) != self.ignore).any():
                break
            crop = self.draw.get_transform(image, sem_seg)
        return crop


class PadBottomRight(T.Augmentation):
    """Pads below and to the right: grey in the image, the ignore label in the label map.

    Height and width become multiples of `divisibility`, and at least `min_size`.
    """

    def __init__(
        self, min_size: tuple[int, int], divisibility: int, ignore: int = IGNORE_LABEL
    ) -> None:
        self.ignore = ignore
        self.min_size = min_size
        self.divisibility = divisibility

    def get_transform(self, image: np.ndarray) -> Transform:
        height, width = image.shape[:2]
        below, right = (
            -(-max(side, least) // self.divisibility) * self.divisibility - side
            for side, least in zip((height, width), self.min_size)
        )
        return PadTransform(0, 0, right, below, width, height, PADDING_GREY, self.ignore)


def size_before_padding(transforms: Transform, image: np.ndarray) -> tuple[int, int]:
    """(height, width) of the transformed image (H,W,3) without the padding of `PadBottomRight`."""
    steps = getattr(transforms, "transforms", [transforms])
    if steps and isinstance(steps[-1], PadTransform):
        return steps[-1].orig_h, steps[-1].orig_w
    return image.shape[0], image.shape[1]


def eval_resize(cfg: CfgNode) -> list[Any]:
    """The resize of INPUT.MIN_SIZE_TEST, MAX_SIZE_TEST and SIDE_MULTIPLE_TEST.

    None with TEST.AUG.ENABLED: `zsk.looks.test_time_augmentation` resizes the photo itself.
    """
    if cfg.TEST.AUG.ENABLED:
        return []
    sizes = cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST
    return [ResizeShortestEdge(*sizes, cfg.INPUT.SIDE_MULTIPLE_TEST)]


def train_augmentations(cfg: CfgNode, ignore: int = IGNORE_LABEL) -> list[Any]:
    """Random scale, crop, colour and flip, then padding, as cfg.INPUT says.

    `ignore` is the label of unlabelled pixels and of padding. With crops and a
    positive SIZE_DIVISIBILITY every result has exactly the crop size.

    Raises:
        UserError: a crop size that is no multiple of SIZE_DIVISIBILITY.
    """
    options, crop = cfg.INPUT, cfg.INPUT.CROP
    sizes = tuple(options.MIN_SIZE_TRAIN), options.MAX_SIZE_TRAIN
    steps: list[Any] = [ResizeShortestEdge(*sizes, style=options.MIN_SIZE_TRAIN_SAMPLING)]
    divisibility = options.SIZE_DIVISIBILITY
    if crop.ENABLED:
        size = tuple(crop.SIZE)
        if divisibility > 0 and any(side % divisibility for side in size):
            raise UserError(
                f"INPUT.CROP.SIZE {list(size)} is not a multiple of INPUT.SIZE_DIVISIBILITY "
                f"{divisibility}: change one of the two"
            )
        steps.append(LabelledCrop(size, crop.SINGLE_CATEGORY_MAX_AREA, ignore))
    if options.COLOR_AUG_SSD:
        steps.append(ColorAugSSDTransform(img_format="RGB"))
    if options.RANDOM_FLIP == "horizontal":
        steps.append(T.RandomFlip())
    if divisibility > 0:
        least = tuple(crop.SIZE) if crop.ENABLED else (1, 1)
        steps.append(PadBottomRight(least, divisibility, ignore))
    return steps
