"""Naming regions: the ensemble by hand, in every mode."""

import math

import pytest
import torch

from zsk.regions import Ensemble, Regions, geometric_ensemble, head_probabilities, name_regions

HEAD = torch.tensor([[0.16, 0.81], [0.5, 0.25]])
CLIP = torch.tensor([[0.64, 0.01], [0.0, 0.0]])
VALID = torch.tensor([True, False])
SEEN = torch.tensor([True, False])


def test_no_proposal():
    empty = torch.zeros(0, 2)
    assert geometric_ensemble(empty, empty, VALID[:0], SEEN, 0.7).shape == (0, 2)


def test_seen_and_unseen_classes_swap_the_exponents():
    # λ = 1/2 for both: the geometric mean; λ = 1/4: seen head^¼·clip^¾, unseen head^¾·clip^¼
    even = geometric_ensemble(HEAD, CLIP, VALID, SEEN, 0.5)
    torch.testing.assert_close(even[0], torch.tensor([0.4 * 0.8, 0.9 * 0.1]))
    quarter = geometric_ensemble(HEAD, CLIP, VALID, SEEN, 0.25)
    seen = 0.4**0.5 * (0.8 * 0.8 * 0.8) ** 0.5  # 0.16^¼ = 0.4^½, 0.64^¾ = 0.8^(3/2)
    unseen = (0.9 * 0.9 * 0.9) ** 0.5 * 0.1**0.5
    torch.testing.assert_close(quarter[0], torch.tensor([seen, unseen]))


def named(mode, lam=0.5, texts=None, **changes):
    """Two proposals, two names of orthogonal texts; no-object has logit 0."""

    def class_logits(embeddings, text):
        return torch.cat([embeddings @ text.T, torch.zeros(len(embeddings), 1)], dim=1)

    regions = Regions(
        masks=torch.zeros(2, 1, 1),
        head_embeddings=torch.tensor([[1.0, 2.0], [3.0, 1.0]]).log(),
        clip_embeddings=torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]]) / 5,
        valid=VALID,
    )
    return name_regions(
        regions._replace(**changes),
        torch.eye(2),
        SEEN,
        class_logits=class_logits,
        clip_temperature=5.0,
        ensemble=Ensemble(mode, lam),
        region_text=texts,
    ).scores


def test_the_three_modes_by_hand():
    head = torch.tensor([[1 / 4, 2 / 4], [3 / 5, 1 / 5]])
    torch.testing.assert_close(named("head"), head)
    # an invalid proposal scores nothing
    torch.testing.assert_close(named("clip"), torch.tensor([[0.75, 0.25], [0.0, 0.0]]))
    both = torch.tensor([[(0.25 * 0.75) ** 0.5, (0.5 * 0.25) ** 0.5], [3 / 5, 1 / 5]])
    torch.testing.assert_close(named("ensemble"), both)


def test_the_head_alone_needs_no_look_of_clip():
    alone = named("head", clip_embeddings=None, valid=None)
    torch.testing.assert_close(alone, named("head"))


def test_the_penalty_of_seen_classes_by_hand():
    # columns: seen, unseen, no object; weights 1, 2 and 1
    logits = torch.tensor([[1.0, 2.0, 1.0]]).log()
    torch.testing.assert_close(head_probabilities(logits, SEEN, 0.0), torch.tensor([[0.25, 0.5]]))
    # half of the weight of the seen class: 1/2 against 2, of the same three quarters
    probs = head_probabilities(logits, SEEN, math.log(2))
    torch.testing.assert_close(probs, 0.75 * torch.tensor([[0.2, 0.8]]))


@pytest.mark.parametrize("penalty", [0.0, 3.0])
def test_small_probabilities_beside_no_object_are_exact(penalty):
    """1 - p(no object) loses digits in float32 and is 0 from a gap of 18 on: compare float64."""
    gaps = torch.arange(41.0)
    logits = 50 + torch.stack([0 * gaps, 0 * gaps + 1, gaps], dim=1)  # seen, unseen, no object
    exact = logits.double().softmax(dim=1)[:, :2]
    weights = (logits[:, :2].double() - penalty * SEEN).softmax(dim=1)
    expected = exact.sum(dim=1, keepdim=True) * weights
    found = head_probabilities(logits, SEEN, penalty)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)
    assert penalty or torch.equal(found, logits.softmax(dim=1)[:, :2])


def test_an_empty_proposal_may_count_as_one():
    # as in the public ZS-MaskFormer: head^λ for seen, head^(1-λ) for unseen classes
    scores = geometric_ensemble(HEAD, CLIP, VALID, SEEN, 0.25, "one")
    expected = torch.tensor([0.5**0.25, 0.25**0.75])
    torch.testing.assert_close(scores[1], expected)
    torch.testing.assert_close(scores[0], geometric_ensemble(HEAD, CLIP, VALID, SEEN, 0.25)[0])


def test_regions_may_have_texts_of_their_own():
    torch.testing.assert_close(named("head", texts=torch.eye(2).flip(0)), named("head"))
    swapped = named("clip", texts=torch.eye(2).flip(0))
    torch.testing.assert_close(swapped, named("clip").flip(1))
