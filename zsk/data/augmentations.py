"""The random views that training sees and the fixed size that testing sees.

Detectron2's transforms, put together, with the three gaps filled that they leave: very thin images,
crops without a label, and padding that the loss ignores. Letters: H×W image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from detectron2.data import transforms as T
from detectron2.projects.point_rend import ColorAugSSDTransform
from fvcore.transforms.transform import NoOpTransform, PadTransform, Transform

from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL

PADDING_GREY = 128
"""Pixel value of the padding of training images: mid-grey, near the mean of photographs."""

MAX_CROP_REDRAWS = 5
"""How often a crop without any labelled pixel is drawn again (our choice)."""


class ResizeShortestEdge(T.ResizeShortestEdge):
    """Detectron2's resize, with sides of at least one pixel for very thin images.

    A shortest side of 0 keeps an image's size, but here not beyond `max_size`.
    """

    def get_transform(self, image: np.ndarray) -> Transform:
        transform = super().get_transform(image)
        height, width = image.shape[:2]
        if isinstance(transform, NoOpTransform) and max(height, width) > self.max_size:
            scale = self.max_size / max(height, width)
            size = int(height * scale + 0.5), int(width * scale + 0.5)
            transform = T.ResizeTransform(height, width, *size, self.interp)
        if isinstance(transform, T.ResizeTransform):
            transform.new_h = max(transform.new_h, 1)
            transform.new_w = max(transform.new_w, 1)
        return transform


class LabelledCrop(T.Augmentation):
    """A random crop that is drawn again while it holds no labelled pixel.

    Built on Detectron2's `RandomCrop_CategoryAreaConstraint` with 255 as the ignored category.
    After `MAX_CROP_REDRAWS` further draws the last crop is taken as it is: training copes with an
    image without segments.
    """

    def __init__(self, size: tuple[int, int], single_category_max_area: float) -> None:
        """
        Args:
            size: height and width in pixels; an image smaller than that is cropped less.
            single_category_max_area: the largest share of the labelled pixels that one class
                may hold, in (0, 1]; 1 allows any.
        """
        self.size = size
        self.single_category_max_area = single_category_max_area
        self.draw = T.RandomCrop_CategoryAreaConstraint(
            "absolute", size, single_category_max_area, ignored_category=IGNORE_LABEL
        )

    def get_transform(self, image: np.ndarray, sem_seg: np.ndarray) -> Transform:
        crop = self.draw.get_transform(image, sem_seg)
        if (sem_seg == IGNORE_LABEL).all():
            return crop
        for _ in range(MAX_CROP_REDRAWS):
            if (crop.apply_segmentation(sem_seg) != IGNORE_LABEL).any():
                break
            crop = self.draw.get_transform(image, sem_seg)
        return crop


class PadBottomRight(T.Augmentation):
    """Pads below and to the right: grey in the image, the ignore label in the label map."""

    def __init__(self, min_size: tuple[int, int], divisibility: int) -> None:
        """
        Args:
            min_size: height and width that the result has at least.
            divisibility: both sides become multiples of this positive number.
        """
        self.min_size = min_size
        self.divisibility = divisibility

    def get_transform(self, image: np.ndarray) -> Transform:
        height, width = image.shape[:2]
        below, right = (
            -(-max(side, least) // self.divisibility) * self.divisibility - side
            for side, least in zip((height, width), self.min_size)
        )
        return PadTransform(0, 0, right, below, width, height, PADDING_GREY, IGNORE_LABEL)


def eval_augmentations(min_size: int, max_size: int) -> list[T.Augmentation]:
    """Shortest side `min_size` pixels (0: that of the photo), longest side at most `max_size`."""
    return [ResizeShortestEdge(min_size, max_size, "choice")]


def train_augmentations(
    *,
    min_sizes: Sequence[int],
    size_sampling: str,
    max_size: int,
    crop_size: tuple[int, int] | None,
    single_category_max_area: float,
    color_jitter: bool,
    horizontal_flip: bool,
    size_divisibility: int,
) -> list[T.Augmentation | Transform]:
    """Random scale, crop, colour and flip, then padding (method.md §5), in this order.

    Args:
        min_sizes: shortest sides in pixels, sampled as `size_sampling` says: "choice" takes one
            of them, "range" anything between the two.
        max_size: longest side in pixels that scaling may give.
        crop_size: height and width of the crop in pixels; None does not crop.
        single_category_max_area: see `LabelledCrop`.
        color_jitter: SSD's brightness, contrast, saturation and hue (Liu et al., ECCV 2016).
        horizontal_flip: mirror every second image.
        size_divisibility: pad both sides to multiples of this, and to `crop_size` when there is
            one, so that every crop has exactly that size. 0 or less does not pad.

    Raises:
        UserError: `crop_size` is not a multiple of a positive `size_divisibility`.
    """
    if crop_size is not None and size_divisibility > 0:
        if any(side % size_divisibility for side in crop_size):
            raise UserError(
                f"INPUT.CROP.SIZE {list(crop_size)} is not a multiple of INPUT.SIZE_DIVISIBILITY "
                f"{size_divisibility}: change one of the two"
            )
    steps: list[T.Augmentation | Transform] = [
        ResizeShortestEdge(tuple(min_sizes), max_size, size_sampling)
    ]
    if crop_size is not None:
        steps.append(LabelledCrop(crop_size, single_category_max_area))
    if color_jitter:
        steps.append(ColorAugSSDTransform(img_format="RGB"))
    if horizontal_flip:
        steps.append(T.RandomFlip())
    if size_divisibility > 0:
        steps.append(PadBottomRight(crop_size or (1, 1), size_divisibility))
    return steps
