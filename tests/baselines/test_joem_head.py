"""JoEm's head: distances, its two losses by hand, and unseen classes by their vectors alone."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zsk.baselines.per_pixel.joem_head import (
    JoEmHead,
    boundary_aware_regression,
    semantic_consistency,
)
from zsk.baselines.per_pixel.known_classes import KnownClasses
from zsk.baselines.per_pixel.text_fcn_head import TextFCNHead


class Convolved(nn.Conv2d):
    def forward(self, features):
        return super().forward(features["res5"])


def head_of(vectors, seen, dim):
    generator = nn.Linear(vectors.shape[1], dim)
    known = KnownClasses(vectors, torch.tensor(seen))
    return JoEmHead(Convolved(3, dim, 1), generator, known, dim=dim)


def test_logits_are_squared_distances():
    head = head_of(torch.eye(2), [True, False], 3)
    features, text = torch.randn(4, 3, 2, 2), F.normalize(torch.randn(5, 2), dim=1)
    logits = head.class_logits(features, text)
    assert logits.shape == (4, 5, 2, 2)
    squared = (features[1, :, 1, 0] - head.generator(text[3])).square().sum()
    torch.testing.assert_close(logits[1, 3, 1, 0], -squared)


def test_boundary_aware_regression_by_hand():
    """Cells of classes 0 0 1 1, prototypes 0 and 1: reduced to 0 1, enlarged to 0 .25 .75 1."""
    sem_seg = torch.tensor([[[0, 0, 1, 1]]])
    features, prototypes = torch.zeros(1, 1, 1, 4), torch.tensor([[0.0], [1.0]])
    expected = (0.25**2 + 0.75**2 + 1) / 4
    loss = boundary_aware_regression(features, prototypes, sem_seg)
    assert loss.item() == pytest.approx(expected)
    # the right half is unlabelled: it has no share in the second cell's mixture and no loss
    sem_seg[..., 2:] = 255
    assert boundary_aware_regression(features, prototypes, sem_seg) == 0
    nothing = boundary_aware_regression(
        features.requires_grad_(), prototypes, torch.full((1, 1, 4), 255)
    )
    nothing.backward()
    assert nothing == 0 and not features.grad.any()


def test_the_cross_entropy_is_of_pixels():
    """That of the FCN, too.

    Two cells score 0 and 4 for class 0, which enlarged are 0 1 3 4; class 1 scores 0.
    """
    fcn = TextFCNHead(nn.Identity(), dim=3, embed_dim=2, temperature=1.0)
    logits = torch.tensor([[0.0, 4.0], [0.0, 0.0]])[None, :, None]
    expected = (math.log(2) + math.log(1 + math.e**-1) + math.log(1 + math.e**3)) / 3
    for head in (head_of(torch.eye(2), [True, True], 3), fcn):
        loss = head.map_loss(logits, torch.tensor([[[0, 0, 1, 255]]]))
        assert loss.item() == pytest.approx(expected)


def test_semantic_consistency_by_hand():
    """Distance sqrt 2 of two vectors, 3 of their prototypes."""
    prototypes = torch.tensor([[0.0], [3.0]])
    p, q = (1 / (1 + math.exp(-x)) for x in (5 * math.sqrt(2), 3.0))
    expected = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    found = semantic_consistency(torch.eye(2), prototypes)
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_a_class_is_learned_and_an_unseen_one_between_two_is_found():
    """Colours tell the classes; the unseen vector is between the others, as its colour is."""
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5**0.5, 0.5**0.5]])
    head = head_of(vectors, [True, True, False], 4)
    colours = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.7, 0.0, 0.7]])
    labels = torch.randint(0, 2, (4, 6, 6))
    features = {"res5": colours[labels].permute(0, 3, 1, 2)}
    optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
    for _ in range(200):
        optimizer.zero_grad()
        losses = head.losses([features], vectors[:2], labels)
        assert set(losses) == {"loss_sem_seg", "loss_boundary", "loss_consistency"}
        sum(losses.values()).backward()
        optimizer.step()
    assert torch.equal(head.class_logits(head(features), vectors[:2]).argmax(dim=1), labels)
    new = {"res5": colours[2].view(1, 3, 1, 1)}
    assert head.class_logits(head(new), vectors).argmax() == 2


def test_gradients_reach_every_parameter_even_when_nothing_is_labelled():
    head = head_of(torch.eye(3), [True, True, False], 2)
    labels = torch.full((1, 4, 4), 255)
    sum(
        head.losses([{"res5": torch.randn(1, 3, 2, 2)}], torch.eye(3)[:2], labels).values()
    ).backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_prototypes_in_mixed_precision():
    """They are those that name pixels: of float32."""
    vectors = torch.eye(3)
    head = head_of(vectors, [True] * 3, 4)
    maps, labels = [{"res5": torch.rand(1, 3, 4, 4)}], torch.randint(0, 3, (1, 4, 4))
    exact = head.losses(maps, vectors, labels)["loss_consistency"]
    with torch.autocast("cpu", torch.bfloat16):
        assert head.losses(maps, vectors, labels)["loss_consistency"] == exact
