"""k-means on features, and the kernels that start from it."""

import pytest
import torch
from torch import nn

from zsk.proposals.image_clusters import ClusterKernels, cluster_masks, farthest_points, kmeans


def halves(height=4, width=6):
    """(1,3,height,width): left and right half point in different directions, with some noise."""
    features = 0.05 * torch.randn(1, 3, height, width)
    features[:, 0, :, : width // 2] += 1.0
    features[:, 1, :, width // 2 :] += 1.0
    return features


def is_partition(masks):
    return torch.equal(masks.sum(dim=1), torch.ones(masks.shape[0], *masks.shape[2:]))


def test_farthest_points_by_hand():
    # the mean is 3.75, so 10 is the first; 0 is farthest from it; 4 is farthest from both
    points = torch.tensor([[[0.0], [1.0], [10.0], [4.0]]])
    assert farthest_points(points, 3).tolist() == [[2, 0, 3]]


@pytest.mark.parametrize(
    "values, iterations, expected",
    [
        ([0.0, 1.0, 10.0, 11.0], 0, [0, 1, 1, 1]),
        ([0.0, 1.0, 10.0, 11.0], 1, [0, 0, 1, 1]),  # the centres are now 0 and 22/3
        ([5.0, 5.0, 9.0], 0, [0, 0, 0]),
        ([5.0, 5.0, 9.0], 1, [1, 1, 0]),  # now 19/3 and, of no member, still 5
    ],
)
def test_kmeans_from_the_first_two_points_by_hand(values, iterations, expected):
    points = torch.tensor(values)[None, :, None]
    assert kmeans(points, torch.tensor([[0, 1]]), iterations).tolist() == [expected]


def test_masks_of_one_count_are_a_partition_whatever_the_other_counts():
    features = torch.randn(2, 8, 5, 6)
    masks = cluster_masks([features], (2, 7, 3), iterations=4)
    assert masks.shape == (2, 12, 5, 6) and masks.dtype == torch.float32
    for count, group in zip((2, 7, 3), masks.split([2, 7, 3], dim=1)):
        assert is_partition(group)
        assert (group.sum(dim=(2, 3)) > 0).all()
        assert torch.equal(group, cluster_masks([features], (count,), iterations=4))


def test_a_picture_of_one_colour_is_one_cluster():
    masks = cluster_masks([torch.ones(1, 3, 2, 2)], (3,), iterations=8)
    assert is_partition(masks)
    assert sorted(masks.sum(dim=(2, 3)).flatten().tolist()) == [0.0, 0.0, 4.0]


def test_more_clusters_than_pixels():
    features = torch.tensor([1.0, -1.0]).view(1, 1, 1, 2).expand(1, 2, 1, 2)
    masks = cluster_masks([features], (5,), iterations=8)
    assert is_partition(masks)
    assert masks.amax(dim=(2, 3)).sum() == 2


def test_clusters_are_deterministic_and_those_of_an_image_are_its_own():
    features = torch.randn(2, 8, 5, 6)
    both = cluster_masks([features], (3, 4), iterations=8)
    assert torch.equal(both, cluster_masks([features], (3, 4), iterations=8))
    for i in range(2):
        assert torch.equal(both[i : i + 1], cluster_masks([features[i : i + 1]], (3, 4), 8))


def test_features_are_clustered_at_the_first_ones_resolution_and_weigh_the_same():
    fine, coarse = halves(4, 6), halves(2, 2)
    assert torch.equal(cluster_masks([fine, coarse], (2,), 8), cluster_masks([fine], (2,), 8))
    noise = torch.randn(1, 5, 4, 6)
    masks = cluster_masks([fine, noise], (4,), iterations=8)
    assert masks.shape == (1, 4, 4, 6)
    assert torch.equal(cluster_masks([fine, 1024 * noise], (4,), iterations=8), masks)


def plain_kernels(dim):
    """Kernels that are the mean features, and 0.25 for the learned part."""
    kernels = ClusterKernels((2,), dim, logit=3.0)
    kernels.project = nn.Identity()
    nn.init.constant_(kernels.init_kernels, 0.25)
    return kernels


def test_kernels_are_the_mean_features_of_their_clusters_and_a_learned_part():
    features = torch.tensor([5.0, 5.0, 5.0, 7.0, 7.0, 7.0]).expand(1, 1, 4, 6)
    kernels, masks = plain_kernels(1)(features, [halves()])
    assert masks.shape == (1, 2, 4, 6)
    left = int(masks[0, 1, 0, 0] > 0)  # which of the two is the left half
    expected = torch.tensor([3.0, 3.0, 3.0, -3.0, -3.0, -3.0]).expand(4, 6)
    torch.testing.assert_close(masks[0, left], expected)
    torch.testing.assert_close(masks[0, 1 - left], -expected)
    assert kernels[0, left].item() == pytest.approx(5.25)
    assert kernels[0, 1 - left].item() == pytest.approx(7.25)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mean_features_are_taken_in_float32_under_autocast(dtype):
    features = torch.full((1, 1, 64, 96), 40.0, dtype=dtype)  # a half of it sums to 122880
    with torch.autocast("cpu", dtype):
        kernels, _ = plain_kernels(1)(features, [halves(64, 96)])
    torch.testing.assert_close(kernels, torch.full((1, 2, 1), 40.25))
