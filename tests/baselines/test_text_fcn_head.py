"""The FCN on text embeddings: its scores and gradients. Its loss: see test_joem_head.py."""

import pytest
import torch
import torch.nn.functional as F
from tiny_head import build_backbone_and_head, texts, tiny_config

from zsk.errors import UserError

OPTS = ("MODEL.SEM_SEG_HEAD.NAME", "TextFCNHead", "MODEL.SEM_SEG_HEAD.CONVS_DIM", 32)


def build(*opts):
    return build_backbone_and_head(tiny_config(*OPTS, *opts))


@pytest.mark.parametrize("fine, size", [("", (2, 3)), ("res2", (16, 24))])
def test_scores_are_cosines_times_the_temperature(fine, size):
    backbone, head = build("MODEL.SEM_SEG_HEAD.FINE_FEATURE", fine)
    features, text = backbone(torch.randn(2, 3, 64, 96)), texts(5)
    logits = head.class_logits(head(features), text)
    assert logits.shape == (2, 5, *size) and logits.dtype == torch.float32
    embedded = head.embedding(head.feature_map(features))
    cosine = F.cosine_similarity(embedded[1, :, 1, 2], text[3], dim=0)
    torch.testing.assert_close(logits[1, 3, 1, 2], 100 * cosine)


@pytest.mark.parametrize("fine", ["", "res2"])
@pytest.mark.parametrize("label", [1, 255])
def test_gradients_reach_every_parameter_even_when_nothing_is_labelled(fine, label):
    backbone, head = build("MODEL.SEM_SEG_HEAD.FINE_FEATURE", fine)
    logits = head.class_logits(head(backbone(torch.randn(2, 3, 64, 64))), texts(3))
    loss = head.map_loss(logits, torch.full((2, 64, 64), label))
    assert (loss > 0) == (label == 1)
    loss.backward()
    parameters = [*head.named_parameters(), *backbone.named_parameters()]
    trained = [(name, p.grad) for name, p in parameters if p.requires_grad]
    assert [name for name, grad in trained if grad is None] == []
    reached = [bool(grad.any()) for _, grad in trained]
    assert any(reached) == (label == 1)


def test_a_feature_that_the_backbone_lacks_is_refused():
    with pytest.raises(UserError, match="'res3', but the backbone gives"):
        build("MODEL.SEM_SEG_HEAD.FINE_FEATURE", "res3")
