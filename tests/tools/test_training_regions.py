"""Regions that one-pass training draws: partitions, rough outlines, and no use of class names."""

import pytest
import torch
from torch.nn import functional as F
from training.regions import (
    CELLS,
    MIN_SHARE,
    ROUGH_OVERLAP,
    draw_regions,
    random_partition,
    rough_outlines,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(height, width):
    return torch.randn(3, height, width, generator=generator(7))


@pytest.mark.parametrize("size", [(40, 60), (1, 1), (1, 300)])
def test_a_partition_has_every_pixel_once(size):
    for seed in range(3):
        cells = random_partition(noise(*size), generator(seed))
        assert cells.dtype == torch.bool and CELLS[0] <= len(cells) <= CELLS[1]
        assert torch.equal(cells.sum(dim=0), torch.ones(size, dtype=torch.int64))


def test_rough_outlines_are_near_the_true_ones():
    segments = torch.zeros(2, 64, 64, dtype=torch.bool)
    segments[0, 10:40, 20:50] = True
    segments[1, 5, 5] = True  # its rough outline is nowhere near it
    rough = rough_outlines(segments, generator())
    overlap = (rough[0] & segments[0]).sum() / (rough[0] | segments[0]).sum()
    assert ROUGH_OVERLAP <= overlap < 1
    assert torch.equal(rough[1], segments[1])


def test_unlabelled_outlines_and_ids_of_labels_are_not_read():
    """The unlabelled square has the colour of its surroundings: no region can know of it."""
    photo = noise(48, 48)
    labels = torch.zeros(48, 48, dtype=torch.int64)
    labels[:5] = 1
    labels[10:30, 10:30] = 255
    renamed = F.embedding(labels.clamp(max=2), torch.tensor([[5], [9], [255]]))[..., 0]
    for seed in range(5):
        regions = draw_regions(photo, labels, 99, generator(seed))
        assert not any(torch.equal(region, labels == 255) for region in regions)
        assert torch.equal(regions, draw_regions(photo, renamed, 99, generator(seed)))


def test_small_regions_and_a_limit():
    photo, labels = noise(64, 64), torch.full((64, 64), 255)
    labels[0, 0] = 0  # one pixel: too small
    regions = draw_regions(photo, labels, 3, generator())
    assert 1 <= len(regions) <= 3
    assert (regions.flatten(1).float().mean(dim=1) >= MIN_SHARE).all()
    assert draw_regions(photo, labels, 0, generator()).shape == (0, 64, 64)
