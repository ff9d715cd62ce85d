"""Augmentations: thin images, redrawn crops, and padding that the loss ignores."""

import numpy as np
import pytest
from detectron2.data import transforms as T
from detectron2.utils.env import seed_all_rng

from zsk.data.augmentations import (
    MAX_CROP_REDRAWS,
    LabelledCrop,
    PadBottomRight,
    ResizeShortestEdge,
    eval_augmentations,
    train_augmentations,
)
from zsk.errors import UserError


@pytest.fixture(autouse=True)
def seeded_numpy() -> None:
    seed_all_rng(0)


def augment(augmentations: list, image: np.ndarray, sem_seg: np.ndarray | None) -> T.AugInput:
    view = T.AugInput(image, sem_seg=sem_seg)
    T.AugmentationList(augmentations)(view)
    return view


@pytest.mark.parametrize(
    "size, expected",
    [
        ((1, 1), (8, 8)),
        ((2, 4), (8, 16)),
        ((100, 4), (32, 1)),  # shortest side 8 would make the other 200: 32 limits it, 1.28 → 1
        ((1, 10_000), (1, 32)),  # 0.0032 rounds to no row at all: one stays
        ((10_000, 1), (32, 1)),
    ],
)
def test_resized_sides(size: tuple[int, int], expected: tuple[int, int]) -> None:
    view = augment(eval_augmentations(8, 32), np.zeros((*size, 3), np.uint8), None)
    assert view.image.shape == (*expected, 3)


@pytest.mark.parametrize(
    "max_size, expected", [(60, (50, 60)), (30, (25, 30)), (32, (27, 32)), (1, (1, 1))]
)
def test_size_0_keeps_the_image_up_to_the_largest_size(max_size: int, expected: tuple) -> None:
    view = augment(eval_augmentations(0, max_size), np.zeros((50, 60, 3), np.uint8), None)
    assert view.image.shape == (*expected, 3)


def test_resized_labels_stay_labels() -> None:
    label = np.array([[3, 200]], np.uint8)
    view = augment([ResizeShortestEdge(5, 100)], np.zeros((1, 2, 3), np.uint8), label)
    assert view.sem_seg.shape == (5, 10)
    assert (view.sem_seg[:, :5] == 3).all() and (view.sem_seg[:, 5:] == 200).all()


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
def test_crops_are_redrawn_at_most_so_often(
    labelled_column: int | None, draws: int, result: int
) -> None:
    label = np.full((1, 20), 255, np.uint8)
    if labelled_column is not None:
        label[0, labelled_column] = 7
    crop = LabelledCrop((1, 1), 1.0)
    crop.draw = walk = WalkingDraw()
    view = augment([crop], np.zeros((1, 20, 3), np.uint8), label)
    assert walk.draws == draws
    assert view.sem_seg.tolist() == [[result]]


@pytest.mark.parametrize("max_area", [0.75, 1.0])
def test_crop_is_no_larger_than_the_image(max_area: float) -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    view = augment([LabelledCrop((5, 5), max_area)], image, np.zeros((4, 6), np.uint8))
    assert view.image.shape == (4, 5, 3)
    assert view.sem_seg.shape == (4, 5)


def test_crop_avoids_one_dominant_class() -> None:
    # left three quarters are class 0, the rest class 1: 8 columns with at most 75% of one class
    label = np.zeros((8, 32), np.uint8)
    label[:, 24:] = 1
    image = np.zeros((8, 32, 3), np.uint8)
    views = [augment([LabelledCrop((8, 8), 0.75)], image, label) for _ in range(20)]
    assert any(set(np.unique(view.sem_seg)) == {0, 1} for view in views)


@pytest.mark.parametrize(
    "size, min_size, divisibility, expected",
    [
        ((3, 5), (8, 8), 8, (8, 8)),
        ((8, 8), (8, 8), 8, (8, 8)),
        ((3, 5), (1, 1), 4, (4, 8)),
        ((9, 5), (8, 8), 4, (12, 8)),
        ((3, 5), (1, 1), 1, (3, 5)),
    ],
)
def test_padding(
    size: tuple[int, int], min_size: tuple[int, int], divisibility: int, expected: tuple[int, int]
) -> None:
    height, width = size
    view = augment(
        [PadBottomRight(min_size, divisibility)],
        np.ones((height, width, 3), np.uint8),
        np.zeros(size, np.uint8),
    )
    assert view.image.shape == (*expected, 3)
    assert view.sem_seg.shape == expected
    assert (view.image[:height, :width] == 1).all() and (view.sem_seg[:height, :width] == 0).all()
    assert (view.image[height:] == 128).all() and (view.image[:, width:] == 128).all()
    assert (view.sem_seg[height:] == 255).all() and (view.sem_seg[:, width:] == 255).all()


def training(**changes: object) -> list:
    settings: dict = dict(
        min_sizes=(8, 16, 24),
        size_sampling="choice",
        max_size=64,
        crop_size=(16, 16),
        single_category_max_area=0.75,
        color_jitter=True,
        horizontal_flip=True,
        size_divisibility=16,
    )
    return train_augmentations(**{**settings, **changes})


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (10, 7), (40, 60)])
def test_every_training_view_has_the_crop_size(size: tuple[int, int]) -> None:
    for _ in range(10):
        view = augment(training(), np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8))
        assert view.image.shape == (16, 16, 3)
        assert view.sem_seg.shape == (16, 16)
        assert view.image.dtype == view.sem_seg.dtype == np.uint8


def test_image_and_label_move_together() -> None:
    # the label repeats the image; without colour jitter they have to stay equal
    label = np.kron(np.array([[10, 60], [110, 160]], np.uint8), np.ones((16, 16), np.uint8))
    image = np.repeat(label[:, :, None], 3, 2)
    for _ in range(10):
        steps = training(color_jitter=False, min_sizes=(32,))
        view = augment(steps, image, label)
        assert np.array_equal(view.image[:, :, 0], view.sem_seg)


def test_switches() -> None:
    image, label = np.zeros((8, 12, 3), np.uint8), np.zeros((8, 12), np.uint8)
    image[:, 0] = 200  # a mirrored or recoloured image would show
    steps = training(
        crop_size=None,
        color_jitter=False,
        horizontal_flip=False,
        size_divisibility=0,
        min_sizes=(8,),
    )
    for _ in range(5):
        assert np.array_equal(augment(steps, image, label).image, image)
    flipped = [augment([*steps, T.RandomFlip()], image, label).image for _ in range(20)]
    assert any(view[0, -1, 0] == 200 for view in flipped)


def test_colour_jitter_leaves_labels_and_type() -> None:
    image = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    label = np.eye(16, dtype=np.uint8)
    steps = training(crop_size=None, horizontal_flip=False, size_divisibility=0, min_sizes=(16,))
    views = [augment(steps, image, label) for _ in range(10)]
    assert any(not np.array_equal(view.image, image) for view in views)
    assert all(np.array_equal(view.sem_seg, label) for view in views)
    assert all(view.image.dtype == np.uint8 for view in views)


def test_contradicting_sizes_are_refused() -> None:
    with pytest.raises(UserError, match=r"CROP.SIZE \[16, 16\] is not a multiple .* 32"):
        training(size_divisibility=32)
