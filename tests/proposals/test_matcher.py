"""Hungarian matching on maps of a few pixels."""

import math

import pytest
import torch

from zsk.data.targets import SegmentBatch, Segments, segments_from_sem_seg, with_unnamed
from zsk.proposals.matcher import HungarianMatcher
from zsk.proposals.outputs import ScoredProposals

MATCHER = HungarianMatcher(class_weight=1.0, focal_weight=20.0, dice_weight=1.0)


def masks(*rows):
    """One mask for each row of 0s and 1s, of height 1 -> logits of -10 and 10."""
    return 20.0 * torch.tensor(rows, dtype=torch.float32)[:, None] - 10.0


def match_image(logits, masks, segments, matcher=MATCHER):
    """One image of one stage -> proposal indices, segment indices."""
    batch = SegmentBatch.from_images([segments]).resized(masks.shape[-2:])
    matches = matcher([ScoredProposals(logits[None], masks[None])], [batch], ["a.jpg"])[0]
    assert matches.images.tolist() == [0] * len(matches.images)
    return matches.proposals, matches.segments


def image_costs(logits, masks, segments):
    batch = SegmentBatch.from_images([segments])
    return MATCHER.costs(ScoredProposals(logits[None], masks[None]), batch)[0]


def pairs(match):
    proposals, segments = match
    return dict(zip(proposals.tolist(), segments.tolist()))


def test_costs_by_hand():
    segments = segments_from_sem_seg(torch.tensor([[0, 1]]))
    class_logits = torch.tensor([[math.log(2.0), 0.0, 0.0]])  # probabilities 0.5, 0.25, 0.25
    costs = image_costs(class_logits, torch.zeros(1, 1, 2), segments)
    focal = (0.25 + 0.75) / 2 * 0.5**2 * math.log(2.0)
    expected = torch.tensor([[-0.5, -0.25]]) + 20 * focal + 1 / 3
    torch.testing.assert_close(costs, expected)


def test_an_unnamed_segment_costs_what_no_object_is_likely():
    segments = segments_from_sem_seg(torch.tensor([[0, 255]]))
    segments = with_unnamed(segments, torch.tensor([[255, 0]]))
    class_logits = torch.tensor([[math.log(2.0), 0.0, 0.0]])  # probabilities 0.5, 0.25, 0.25
    named, unnamed = image_costs(class_logits, torch.zeros(1, 1, 2), segments)[0].tolist()
    assert unnamed - named == pytest.approx(-0.75 + 0.5)


def test_pixels_to_ignore_take_no_part():
    over_ignored, one_wrong = [1, 0, 1, 1], [1, 1, 0, 0]
    logits, classes = masks(over_ignored, one_wrong), torch.zeros(2, 3)
    segments = segments_from_sem_seg(torch.tensor([[1, 0, 255, 255]]))
    segments = Segments(segments.labels[1:], segments.masks[1:], segments.valid)
    assert pairs(match_image(classes, logits, segments)) == {0: 0}
    everywhere = segments._replace(valid=torch.ones(1, 4, dtype=torch.bool))
    assert pairs(match_image(classes, logits, everywhere)) == {1: 0}


def test_a_segment_that_low_resolution_loses_is_matched_still():
    segments = segments_from_sem_seg(torch.tensor([[255, 255], [255, 1]]))
    assert len(match_image(torch.zeros(2, 3), torch.zeros(2, 1, 1), segments)[0]) == 1


def test_more_segments_than_proposals_leave_some_unmatched():
    segments = segments_from_sem_seg(torch.tensor([[0, 1, 2]]))
    assert pairs(match_image(torch.zeros(1, 4), masks([0, 0, 1]), segments)) == {0: 2}


def test_costs_are_float32_under_autocast():
    seen = []

    class Spy(HungarianMatcher):
        def costs(self, proposals, segments):
            seen.append(super().costs(proposals, segments))
            return seen[-1]

    classes, logits = torch.zeros(2, 3, dtype=torch.bfloat16), torch.randn(2, 12, 12).bfloat16()
    segments = segments_from_sem_seg(torch.randint(0, 2, (12, 12)))
    with torch.autocast("cpu", torch.bfloat16):
        match_image(classes, logits, segments, Spy(1.0, 20.0, 1.0))
    expected = image_costs(classes.float(), logits.float(), segments)
    torch.testing.assert_close(seen, [expected[None]], rtol=0, atol=0)
