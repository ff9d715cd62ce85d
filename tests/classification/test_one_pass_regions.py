import pytest
import torch
from torch.nn import functional as F

from zsk.classification.one_pass_regions import (
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


def test_a_partition_has_every_pixel_once():
    for seed in range(5):
        cells = random_partition(noise(40, 60), generator(seed))
        assert cells.dtype == torch.bool and cells.shape[1:] == (40, 60)
        assert CELLS[0] <= len(cells) <= CELLS[1]
        assert torch.equal(cells.sum(dim=0), torch.ones(40, 60, dtype=torch.int64))


def test_cells_keep_to_colours():
    """Two halves of colours far apart: no cell has pixels of both."""
    photo = 0.01 * noise(48, 48)
    photo[:, :, 24:] += 5
    parted = 0
    for seed in range(8):
        cells = random_partition(photo, generator(seed))
        left, right = (half.any(dim=(1, 2)) for half in (cells[..., :24], cells[..., 24:]))
        parted += int(not (left & right).any())
    assert parted >= 6  # not where all seeds fell into one half


def test_partitions_differ_and_a_seed_gives_the_same_again():
    photo = noise(32, 32)
    first, again, other = (random_partition(photo, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (7, 5)])
def test_partitions_of_odd_photos(size):
    cells = random_partition(torch.zeros(3, *size), generator())
    assert cells.shape[1:] == size and cells.sum() == size[0] * size[1]


def test_rough_outlines_are_near_the_true_ones():
    segments = torch.zeros(2, 64, 64, dtype=torch.bool)
    segments[0, 10:40, 20:50] = True
    segments[1, 5, 5] = True  # its rough outline is nowhere near it
    rough = rough_outlines(segments, generator())
    overlap = (rough[0] & segments[0]).sum() / (rough[0] | segments[0]).sum()
    assert ROUGH_OVERLAP <= overlap < 1
    assert torch.equal(rough[1], segments[1])
    assert rough_outlines(segments[:0], generator()).shape == (0, 64, 64)


def test_regions_cover_what_has_no_label_but_never_follow_its_outline():
    """The unlabelled square has the colour of its surroundings: no region can know of it."""
    photo = noise(48, 48)
    labelled = torch.zeros(48, 48, dtype=torch.int64)
    hidden = labelled.clone()
    hidden[10:30, 10:30] = 255
    whole = draw_regions(photo, torch.full((48, 48), 255), 99, generator())
    assert torch.equal(whole.sum(dim=0), torch.ones(48, 48, dtype=torch.int64))
    square = hidden == 255
    for seed in range(5):
        for region in draw_regions(photo, hidden, 99, generator(seed)):
            assert not torch.equal(region, square)


def test_ids_of_the_labels_change_nothing():
    sem_seg = torch.zeros(32, 32, dtype=torch.int64)
    sem_seg[:16] = 1
    photo = noise(32, 32)
    renamed = F.embedding(sem_seg, torch.tensor([[5], [9]]))[..., 0]
    regions = [draw_regions(photo, labels, 99, generator(3)) for labels in (sem_seg, renamed)]
    assert torch.equal(*regions)


def test_few_and_none():
    photo, labels = noise(64, 64), torch.full((64, 64), 255)
    labels[0, 0] = 0  # one pixel: too small
    assert 1 / 64**2 < MIN_SHARE
    regions = draw_regions(photo, labels, 3, generator())
    assert 1 <= len(regions) <= 3 and regions.shape[1:] == (64, 64)
    assert (regions.flatten(1).float().mean(dim=1) >= MIN_SHARE).all()
    assert draw_regions(photo, labels, 0, generator()).shape == (0, 64, 64)
