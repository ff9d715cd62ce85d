"""Augmentations: thin images, redrawn crops, and padding that the loss ignores."""

import numpy as np
import pytest
from detectron2.data import transforms as T

from zsk.config import default_config
from zsk.data.augmentations import (
    MAX_CROP_REDRAWS,
    LabelledCrop,
    PadBottomRight,
    ResizeShortestEdge,
    train_augmentations,
)
from zsk.errors import UserError


def augment(augmentations: list, image: np.ndarray, sem_seg: np.ndarray | None) -> T.AugInput:
    view = T.AugInput(image, sem_seg=sem_seg)
    T.AugmentationList(augmentations)(view)
    return view


@pytest.mark.parametrize(
    "limits, size, expected",
    [
        ((8, 32), (1, 1), (8, 8)),
        ((8, 32), (2, 4), (8, 16)),
        ((8, 32), (100, 4), (32, 1)),  # shortest side 8: the other 200; 32 limits it, 1.28 → 1
        ((8, 32), (1, 10_000), (1, 32)),  # 0.0032 rounds to no row at all: one stays
        ((8, 32), (10_000, 1), (32, 1)),
        ((0, 60), (50, 60), (50, 60)),  # 0 keeps the image up to the largest size
        ((0, 32), (50, 60), (27, 32)),
        ((0, 1), (50, 60), (1, 1)),
        ((8, 32, 4), (8, 13), (8, 12)),
        ((8, 32, 16), (1, 2), (16, 16)),  # at least one multiple
        ((0, 60, 16), (48, 16), (48, 16)),
    ],
)
def test_resized_sides(limits: tuple, size: tuple, expected: tuple) -> None:
    view = augment([ResizeShortestEdge(*limits)], np.zeros((*size, 3), np.uint8), None)
    assert view.image.shape == (*expected, 3)


class WalkingDraw:
    """Draws the 1×1 crops of the first row from left to right, counting them."""

    def __init__(self) -> None:
        self.draws = 0

    def get_transform(self, image: np.ndarray, sem_seg: np.ndarray) -> T.CropTransform:
        self.draws += 1
        return T.CropTransform(self.draws - 1, 0, 1, 1)


@pytest.mark.parametrize(
    "labelled_column, draws, result",
    [
        (0, 1, 7),
        (3, 4, 7),  # three crops without a label, then one with
        (MAX_CROP_REDRAWS, 1 + MAX_CROP_REDRAWS, 7),
        (MAX_CROP_REDRAWS + 1, 1 + MAX_CROP_REDRAWS, 255),  # given up: passed on as it is
        (None, 1, 255),  # nothing to be found anywhere: no redraw at all
    ],
)
def test_crops_are_redrawn_at_most_so_often(labelled_column, draws, result) -> None:
    label = np.full((1, 20), 255, np.uint8)
    if labelled_column is not None:
        label[0, labelled_column] = 7
    crop = LabelledCrop((1, 1), 1.0)
    crop.draw = walk = WalkingDraw()
    view = augment([crop], np.zeros((1, 20, 3), np.uint8), label)
    assert walk.draws == draws
    assert view.sem_seg.tolist() == [[result]]


@pytest.mark.parametrize(
    "min_size, divisibility, expected",
    [((8, 8), 8, (8, 8)), ((1, 1), 4, (4, 8)), ((2, 8), 4, (4, 8)), ((1, 1), 1, (3, 5))],
)
def test_padding(min_size: tuple, divisibility: int, expected: tuple) -> None:
    pad = PadBottomRight(min_size, divisibility)
    view = augment([pad], np.ones((3, 5, 3), np.uint8), np.zeros((3, 5), np.uint8))
    assert view.image.shape == (*expected, 3) and view.sem_seg.shape == expected
    assert (view.image[:3, :5] == 1).all() and (view.sem_seg[:3, :5] == 0).all()
    assert (view.image[3:] == 128).all() and (view.image[:, 5:] == 128).all()
    assert (view.sem_seg[3:] == 255).all() and (view.sem_seg[:, 5:] == 255).all()


def training(*options: object) -> list:
    cfg = default_config()
    small = {"MIN_SIZE_TRAIN": (8, 16, 24), "MAX_SIZE_TRAIN": 64, "SIZE_DIVISIBILITY": 16}
    small |= {"CROP.ENABLED": True, "CROP.SIZE": [16, 16], "CROP.SINGLE_CATEGORY_MAX_AREA": 0.75}
    small |= {"MIN_SIZE_TRAIN_SAMPLING": "choice", "COLOR_AUG_SSD": True}
    small["RANDOM_FLIP"] = "horizontal"
    small.update(zip(options[::2], options[1::2]))
    cfg.merge_from_list([word for key, v in small.items() for word in (f"INPUT.{key}", v)])
    return train_augmentations(cfg)


PLAIN = ("CROP.ENABLED", False, "COLOR_AUG_SSD", False, "RANDOM_FLIP", "none")


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (10, 7), (40, 60)])
def test_every_training_view_has_the_crop_size(size: tuple[int, int]) -> None:
    for _ in range(10):
        view = augment(training(), np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8))
        assert view.image.shape == (16, 16, 3) and view.sem_seg.shape == (16, 16)
        assert view.image.dtype == view.sem_seg.dtype == np.uint8


def test_image_and_label_move_together() -> None:
    # the label repeats the image; without colour jitter they have to stay equal
    label = np.kron(np.array([[10, 60], [110, 160]], np.uint8), np.ones((16, 16), np.uint8))
    image = np.repeat(label[:, :, None], 3, 2)
    for _ in range(10):
        view = augment(training("COLOR_AUG_SSD", False, "MIN_SIZE_TRAIN", (32,)), image, label)
        assert np.array_equal(view.image[:, :, 0], view.sem_seg)


def test_switches() -> None:
    image, label = np.zeros((8, 12, 3), np.uint8), np.eye(8, 12, dtype=np.uint8)
    image[:, 0] = 200  # a mirrored or recoloured image would show

    def views(*options: object) -> list[T.AugInput]:
        steps = training(*PLAIN, "SIZE_DIVISIBILITY", 0, "MIN_SIZE_TRAIN", (8,), *options)
        return [augment(steps, image, label) for _ in range(10)]

    assert all(np.array_equal(view.image, image) for view in views())
    assert {view.image[0, -1, 0] for view in views("RANDOM_FLIP", "horizontal")} == {0, 200}
    jittered = views("COLOR_AUG_SSD", True)
    assert any(not np.array_equal(view.image, image) for view in jittered)
    assert all(np.array_equal(view.sem_seg, label) for view in jittered)
    assert all(view.image.shape == (12, 12, 3) for view in views("SIZE_DIVISIBILITY", 12))


def test_a_crop_that_would_be_padded() -> None:
    with pytest.raises(UserError, match=r"CROP.SIZE \[16, 16\] is not a multiple .* 32"):
        training("SIZE_DIVISIBILITY", 32)
