"""Naming and labelling in numpy: the lines of docs/export.md, run as they stand there."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from zsk.label_map import View, label_map
from zsk.regions import Ensemble, Regions, name_regions

CHECKOUT = Path(__file__).resolve().parents[2]
N, K, E, CELLS, SIZE = 7, 5, 4, (6, 8), (45, 70)


def page_blocks():
    """The Python blocks of the page: naming, then the use with onnxruntime."""
    blocks = re.findall(r"```python\n(.*?)```", (CHECKOUT / "docs/export.md").read_text(), re.S)
    assert len(blocks) == 2
    return blocks


@pytest.fixture(scope="module")
def page():
    """What the lines define."""
    defined = {}
    exec(page_blocks()[0], defined)
    return defined


def test_the_page_shows_the_module():
    assert (CHECKOUT / "zsk/export/naming.py").read_text().endswith(page_blocks()[0])


def words(**changes):
    """Of two words, the first one seen, less what their embeddings are compared with."""
    values = {"seen": [True, False], "classifier": "text", "lam": 0.5, "seen_penalty": 0.0}
    values |= {"mask_softmax": 0.0, "votes_at": "result", **changes}
    return {key: np.asarray(value) for key, value in values.items()}


def test_a_linear_classifier_gives_logits(page):
    look = {"head": np.log([[1.0, 2.0, 1.0]])}
    scores = page["name"](look, words(mode="head", classifier="linear"))
    np.testing.assert_allclose(scores, [[1 / 4, 1 / 2]])


@pytest.mark.parametrize("votes_at", ["result", "photo"])
@pytest.mark.parametrize("mask_softmax", [0.0, 2.0])
def test_labels_are_those_of_the_model(page, mask_softmax, votes_at):
    generator = torch.Generator().manual_seed(3)
    masks = torch.randn(N, *CELLS, generator=generator) * 3
    scores = torch.eye(K)[torch.arange(N) % K] + 0.2 * torch.rand(N, K, generator=generator)
    expected = label_map([View(scores, masks)], SIZE, mask_softmax, votes_at == "photo").labels
    here = words(mask_softmax=mask_softmax, votes_at=votes_at)
    labels = page["label"](masks.numpy(), scores.numpy(), here, SIZE)
    assert labels.dtype == np.int64 and len(np.unique(labels)) == K
    assert (labels == expected.numpy()).mean() > 0.999  # of 3150 pixels


@pytest.mark.parametrize(
    "mode, empty", [("head", "head"), ("clip", "head"), ("ensemble", "head"), ("ensemble", "one")]
)
def test_scores_are_those_of_the_model(page, mode, empty):
    generator = torch.Generator().manual_seed(4)
    head, clip = torch.randn(2, N, E, generator=generator)
    text, regional, no_object = torch.randn(3, K, E, generator=generator)
    valid, seen = torch.arange(N) > 1, torch.arange(K) % 2 == 0
    columns = torch.cat([text, no_object[:1]])
    expected = name_regions(
        Regions(torch.zeros(N, 1, 1), head, clip, valid),
        text,
        seen,
        class_logits=lambda rows, _: 20 * rows @ columns.T,
        clip_temperature=15.0,
        ensemble=Ensemble(mode, 0.7, 3.0, empty),
        region_text=regional,
    ).scores
    here = words(
        seen=seen,
        text=text,
        region_text=regional,
        no_object=no_object[:1],
        lam=0.7,
        head_temperature=np.float32(20),
        clip_temperature=np.float32(15),
        seen_penalty=np.float32(3),
        mode=mode,
        empty=empty,
    )
    look = {"head": head.numpy(), "clip": clip.numpy(), "valid": valid.numpy()}
    np.testing.assert_allclose(page["name"](look, here), expected, atol=1e-5)
