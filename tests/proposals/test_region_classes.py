"""Classes of unmatched proposals by the pixels they lie on (our choice beside the method)."""

import pytest
import torch
from tiny_head import make_criterion

from zsk.data.targets import UNNAMED, segments_from_sem_seg, with_unnamed
from zsk.proposals.criterion import region_classes
from zsk.proposals.outputs import ScoredProposals

LABELS = torch.tensor([[3, 3, 3, 7, 255, 255]])
NO_OBJECT = 9


def mask(*columns):
    """Logits (1,6) of a mask over these columns."""
    logits = torch.full((1, 6), -5.0)
    logits[0, list(columns)] = 5.0
    return logits


@pytest.mark.parametrize(
    "columns, purity, expected",
    [
        ([0, 1], 0.7, 3),
        ([3], 0.7, 7),
        ([2, 3], 0.7, NO_OBJECT),  # half and half
        ([1, 2, 3], 0.7, NO_OBJECT),  # two thirds
        ([1, 2, 3], 0.6, 3),
        ([0, 4], 0.7, 3),  # the pixel with a label decides where it is half of the mask
        ([0, 4, 5], 0.7, 255),
        ([4, 5], 0.7, 255),
        ([], 0.7, NO_OBJECT),
    ],
)
def test_a_mask_gets_the_class_of_most_of_its_pixels(columns, purity, expected):
    segments = segments_from_sem_seg(LABELS)
    assert region_classes(mask(*columns)[None], segments, purity, NO_OBJECT).tolist() == [expected]


def test_nothing_labelled():
    segments, masks = segments_from_sem_seg(torch.full((1, 6), 255)), torch.stack([mask(0), mask()])
    assert region_classes(masks, segments, 0.7, NO_OBJECT).tolist() == [255, NO_OBJECT]


def test_a_mask_on_a_segment_without_a_name_is_unnamed():
    unnamed = torch.tensor([[255, 255, 255, 255, 2, 2]])
    segments = with_unnamed(segments_from_sem_seg(LABELS), unnamed)
    found = region_classes(torch.stack([mask(0), mask(4, 5)]), segments, 0.7, NO_OBJECT)
    assert found.tolist() == [3, UNNAMED]


def test_the_criterion_uses_them_for_unmatched_proposals_alone():
    """Two proposals on class 0, one is matched: the other learns class 0 only when asked to."""
    masks = torch.stack([mask(0, 1, 2), mask(0, 1)])[None]
    logits = torch.zeros(1, 2, 3)
    losses = {}
    for purity in (0.0, 0.7):
        criterion = make_criterion(region_purity=purity)
        graded = logits.clone().requires_grad_()
        segments = [segments_from_sem_seg(torch.tensor([[0, 0, 0, 255, 255, 255]]))]
        criterion([ScoredProposals(graded, masks)], segments, ["a.jpg"])["loss_class"].backward()
        losses[purity] = graded.grad[0].argmin(dim=1).tolist()  # the class that is pulled up
    assert losses == {0.0: [0, 2], 0.7: [0, 0]}
