"""What the region classifier leaves out: by hand on coloured halves, and labels on random cases."""

import math
from functools import partial

import pytest
import torch
from tiny_clip import ColourEncoder

from zsk.classification.ensemble import combine
from zsk.classification.region_classifier import RegionClassifier
from zsk.classification.region_queue import Pruning, RegionQueue, RegionRequest
from zsk.errors import UserError
from zsk.mask_votes import MaskVotes
from zsk.semantic_inference import label_map

TEXT = torch.eye(3)  # red, green, blue
SEEN = torch.tensor([True, True, True])


def image() -> torch.Tensor:
    """(3,8,8): red on the left, green on the right."""
    pixels = torch.zeros(3, 8, 8)
    pixels[0, :, :4] = pixels[1, :, 4:] = 200
    return pixels


def logits(*columns: slice) -> torch.Tensor:
    masks = torch.full((len(columns), 8, 8), -20.0)
    for mask, chosen in zip(masks, columns):
        mask[:, chosen] = 20.0
    return masks


ALL, LEFT, RIGHT, NOTHING = slice(0, 8), slice(0, 4), slice(4, 8), slice(0, 0)


def scorer(head: torch.Tensor, mode: str = "ensemble", lam: float = 0.5):
    return partial(combine, mode, head, seen_mask=SEEN, lam=lam)


def classify(head: torch.Tensor, masks: torch.Tensor, pruning: Pruning, encoder=None):
    """Final scores (N,3), RegionScores, and the sizes of the batches that were encoded."""
    encoder = encoder or ColourEncoder()
    scores = scorer(head)
    classifier = RegionClassifier(encoder, pruning=pruning)
    (found,) = classifier.classify([RegionRequest(image(), masks, TEXT, scores)])
    return scores(found.probs, found.valid), found, encoder.batches


def test_a_proposal_that_cannot_win_a_pixel_is_not_encoded() -> None:
    # third: no object but for 1e-6, whose root is 0.001; the halves lead by far more
    head = torch.tensor([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [1e-6, 1e-6, 1e-6]])
    pruning = Pruning(tolerance=0.01, round_size=2)
    scores, found, batches = classify(head, logits(LEFT, RIGHT, ALL), pruning)
    assert batches == [2]
    assert scores[2].tolist() == [0.0] * 3 and found.valid.tolist() == [True] * 3
    # and is where it is the only one there
    _, _, batches = classify(head[[0, 2]], logits(LEFT, ALL), Pruning(0.01, round_size=1))
    assert batches == [1, 1]


def test_an_empty_proposal_keeps_the_scores_of_the_head() -> None:
    head = torch.tensor([[0.3, 0.6, 0.1], [0.9, 0.05, 0.05]])
    scores, found, batches = classify(head, logits(NOTHING, ALL), Pruning(0.01))
    assert batches == [1] and found.valid.tolist() == [False, True]
    torch.testing.assert_close(scores[0], head[0])


def test_no_crop_when_nothing_can_matter() -> None:
    head = torch.full((2, 3), 0.2)
    assert classify(head, logits(NOTHING, NOTHING), Pruning(0.01))[2] == []
    head = torch.zeros(2, 3)  # surely no object
    assert classify(head, logits(LEFT, RIGHT), Pruning(0.01))[2] == []
    assert classify(head[:0], logits(LEFT)[:0], Pruning(0.01, 0.9))[2] == []


def test_an_exact_duplicate_is_encoded_once() -> None:
    head = torch.tensor([[0.1, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.7, 0.1]])
    masks = logits(LEFT, LEFT, RIGHT)
    scores, found, batches = classify(head, masks, Pruning(duplicate_iou=0.9))
    plain, every, _ = classify(head, masks, Pruning())
    assert batches == [2]
    torch.testing.assert_close(found.probs, every.probs)
    torch.testing.assert_close(scores, plain)


def test_duplicates_vote_together() -> None:
    # each could give 0.1 more, together they outvote the lead of 0.15 that one crop leaves
    head = torch.tensor([[0.81, 0.25, 0.0], [0.01, 0.01, 0.0], [0.01, 0.01, 0.0]])
    pruning = Pruning(0.01, duplicate_iou=0.9, round_size=1)
    _, found, batches = classify(head, logits(ALL, ALL, ALL), pruning)
    assert batches == [1]
    assert torch.equal(found.probs[0], found.probs[1])


def test_a_ceiling_reckons_with_less() -> None:
    # the first is red with e²/(e²+2) = 0.787, which makes √(0.36 · 0.787) = 0.532 of it; the second
    # could be green with √0.49 = 0.7, or with √(0.49 · 0.5) = 0.495
    head = torch.tensor([[0.36, 0.0, 0.81], [0.0, 0.49, 0.0]])
    masks = logits(LEFT, LEFT)
    scores, _, batches = classify(head, masks, Pruning(0.01, round_size=1))
    assert batches == [1, 1]
    torch.testing.assert_close(scores[0], torch.tensor([0.532, 0.0, 0.294]), atol=1e-3, rtol=0)
    _, found, batches = classify(head, masks, Pruning(0.01, ceiling=0.5, round_size=1))
    assert batches == [1] and found.probs[1].tolist() == [0.0] * 3


def test_a_round_is_as_large_as_a_chunk_and_never_tiny() -> None:
    generator = torch.Generator().manual_seed(0)
    head, masks = torch.rand(20, 3, generator=generator), torch.randn(20, 8, 8, generator=generator)
    for chunk, pruning, rounds in (
        (1, Pruning(1e-9), [8, 8, 4]),
        (16, Pruning(1e-9), [16, 4]),
        (16, Pruning(1e-9, round_size=5), [5, 5, 5, 5]),
        (16, Pruning(round_size=5), [16, 4]),
    ):
        queue = RegionQueue(RegionRequest(image(), masks, TEXT, scorer(head)), 0.0, chunk, pruning)
        sizes = []
        while len(indices := queue.next_round()):
            sizes.append(len(indices))
            shown = torch.ones(len(indices), dtype=torch.bool)
            queue.take(indices, torch.full((len(indices), 3), 0.3), shown)
        assert sizes == rounds


def test_without_scores_nothing_is_left_out() -> None:
    encoder = ColourEncoder()
    classifier = RegionClassifier(encoder, pruning=Pruning(0.5, 0.5))
    classifier(image(), logits(ALL, ALL, LEFT), TEXT)
    assert encoder.batches == [3]


def test_a_mask_that_vanishes_at_the_images_size() -> None:
    # one pixel of 1 among -9: between the pixels of the small map, bilinearly, all is below 0
    masks = torch.full((2, 16, 16), -9.0)
    masks[0, 5, 5] = 1.0
    masks[1] = 9.0
    head = torch.full((2, 3), 0.3)
    scores, found, batches = classify(head, masks, Pruning())
    assert found.valid.tolist() == [False, True] and batches == [1]
    torch.testing.assert_close(scores[0], head[0])


@pytest.mark.parametrize("mode, lam", [("ensemble", 0.7), ("ensemble", 0.3), ("clip", 0.5)])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("votes", [MaskVotes(), MaskVotes(2.0)])
@pytest.mark.parametrize("looks", [(0.5,), (0.3, 0.7)])
def test_labels_change_within_the_tolerance(
    mode: str, lam: float, seed: int, votes: MaskVotes, looks: tuple[float, ...]
) -> None:
    generator = torch.Generator().manual_seed(seed)
    photo = torch.rand(3, 24, 32, generator=generator) * 255
    masks = torch.randn(20, 12, 16, generator=generator) * 4 - 3
    masks[0] = 9.0  # one sure object, the others mostly none
    object_probs = torch.rand(20, 1, generator=generator) ** 12
    object_probs[0] = 1.0
    head = object_probs * torch.randn(20, 3, generator=generator).mul(6).softmax(dim=1)
    scores = scorer(head, mode, lam)
    request = RegionRequest(photo, masks, TEXT, scores, votes)
    labels, crops = [], []
    for tolerance in (0.0, 1e-6, 0.05):
        encoder = ColourEncoder()
        classifier = RegionClassifier(encoder, looks, pruning=Pruning(tolerance, round_size=2))
        (found,) = classifier.classify([request])
        labels.append(label_map(scores(found.probs, found.valid), masks, (12, 16), votes))
        crops.append(sum(encoder.batches))
    assert torch.equal(labels[1], labels[0])
    assert (labels[2] != labels[0]).float().mean() <= 0.05
    seen = sum((masks > math.log(t / (1 - t))).flatten(1).any(dim=1).sum() for t in looks)
    assert crops[2] <= crops[1] <= crops[0] == seen
    assert mode == "clip" or crops[2] < crops[0]


def test_images_share_chunks_and_are_named_as_one_by_one() -> None:
    generator = torch.Generator().manual_seed(0)
    requests = []
    for height, width, count in ((16, 20, 5), (9, 30, 0), (12, 12, 7)):
        head = torch.rand(count, 3, generator=generator)
        requests.append(
            RegionRequest(
                torch.rand(3, height, width, generator=generator) * 255,
                torch.randn(count, 6, 5, generator=generator),
                TEXT,
                scorer(head),
            )
        )
    encoder = ColourEncoder()
    classifier = RegionClassifier(encoder, chunk_size=8, pruning=Pruning())
    together = classifier.classify(requests)
    assert encoder.batches == [8, 4]
    for request, found in zip(requests, together):
        (alone,) = classifier.classify([request])
        torch.testing.assert_close(found.probs, alone.probs)
        assert torch.equal(found.valid, alone.valid)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"tolerance": -0.1}, "PRUNE.TOLERANCE is -0.1"),
        ({"tolerance": 1.0}, "PRUNE.TOLERANCE is 1.0"),
        ({"duplicate_iou": 0.0}, "PRUNE.DUPLICATE_IOU is 0.0"),
        ({"ceiling": 0.0}, "PRUNE.CEILING is 0.0"),
        ({"ceiling": 1.1}, "PRUNE.CEILING is 1.1"),
        ({"round_size": -1}, "PRUNE.ROUND_SIZE is -1"),
    ],
)
def test_settings_out_of_range(settings, words) -> None:
    with pytest.raises(UserError, match=words):
        Pruning(**settings)
