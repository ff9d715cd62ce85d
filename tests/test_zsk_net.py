"""The meta-architecture around small parts: batches, empty targets, and its settings at work."""

import pytest
import torch
from tiny_clip import ColourEncoder
from tiny_head import QUERIES, build_backbone_and_head, make_criterion, tiny_config
from torch import nn

from zsk.classification.prompts import get_templates
from zsk.classification.region_classifier import RegionClassifier
from zsk.classification.text_classifier import TextClassifier
from zsk.errors import UserError
from zsk.proposals.outputs import Proposals
from zsk.vocabulary import Vocabulary
from zsk.zsk_net import ZSKNet

WORDS = ("red", "green", "yellow")
VOCABULARY = Vocabulary(WORDS, WORDS, (True, True, False))


class OneMask(nn.Module):
    """A head of one proposal that covers everything, with logits 2, 0, 1 and none for no object."""

    def forward(self, features, text):
        batch = len(features["pixels"])
        logits = torch.tensor([2.0, 0.0, 1.0, -50.0]).expand(batch, 1, 4)
        return [Proposals(logits, torch.full((batch, 1, 2, 2), 9.0))]


class Pixels(nn.Module):
    """A backbone that passes its input on."""

    def forward(self, images):
        return {"pixels": images}


def build(backbone=None, head=None, **settings):
    encoder = ColourEncoder()
    parts = {
        "backbone": backbone or Pixels(),
        "sem_seg_head": head or OneMask(),
        "criterion": make_criterion(),
        "text_classifier": TextClassifier(encoder, get_templates("single")),
        "region_classifier": RegionClassifier(encoder),
        "ensemble_mode": "head",
        "ensemble_lambda": 0.5,
        "pixel_mean": [0.0] * 3,
        "pixel_std": [255.0] * 3,
    }
    return ZSKNet(**{**parts, **settings})


def record(height=32, width=48, label=None, colour=(0, 0, 0)):
    image = torch.tensor(colour, dtype=torch.uint8)[:, None, None].expand(3, height, width)
    data = {"image": image, "vocabulary": VOCABULARY, "height": height, "width": width}
    if label is not None:
        data["sem_seg"] = torch.full((height, width), label)
    return data


def answer(**settings):
    """The one label that the stub's model gives to all pixels of a pure green photo."""
    with torch.no_grad():
        (result,) = build(**settings).eval()([record(colour=(0, 255, 0))])
    (label,) = result["pred_labels"].unique().tolist()
    return WORDS[label]


def test_the_head_alone_answers_with_its_best_seen_name():
    assert answer() == "red"


def test_a_penalty_of_seen_classes_gives_the_pixel_to_the_unseen_one():
    assert answer(seen_penalty=0.9) == "red"
    assert answer(seen_penalty=1.1) == "yellow"


def test_the_region_classifier_looks_at_the_photo():
    assert answer(ensemble_mode="clip") == "green"


def test_lambda_weighs_the_head_against_the_region_classifier():
    assert answer(ensemble_mode="ensemble", ensemble_lambda=1.0) == "red"
    # λ = 0: seen classes by the region classifier alone, unseen ones by the head alone (0.24)
    assert answer(ensemble_mode="ensemble", ensemble_lambda=0.0) == "green"


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"ensemble_mode": "mean"}, "MODEL.ENSEMBLE.MODE is 'mean'"),
        ({"ensemble_lambda": 1.5}, "MODEL.ENSEMBLE.LAMBDA is 1.5"),
        ({"seen_penalty": -1.0}, "MODEL.ENSEMBLE.SEEN_PENALTY is -1.0"),
    ],
)
def test_settings_out_of_range_are_refused_before_any_image(settings, words):
    with pytest.raises(UserError, match=words):
        build(**settings)


LINEAR = ("MODEL.SEM_SEG_HEAD.CLASSIFIER", "linear", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 3)
SYSTEMS = {"ZSK-Net": (), "K-Net": LINEAR, "ZS-MaskFormer": QUERIES, "MaskFormer": QUERIES + LINEAR}


@pytest.fixture(params=SYSTEMS)
def tiny_model(request):
    """A real backbone and each head of D=32, N=6; the fully supervised systems without CLIP."""
    torch.manual_seed(0)
    opts = SYSTEMS[request.param]
    cfg = tiny_config("MODEL.SEM_SEG_HEAD.TEMPERATURE", 1.0, *opts)
    backbone, head = build_backbone_and_head(cfg, embed_dim=3)
    return build(backbone, head, ensemble_mode="head" if "linear" in opts else "ensemble")


def noisy(height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    data = record(height, width)
    data["image"] = torch.randint(0, 256, (3, height, width), generator=generator).byte()
    return data


def test_a_batch_of_different_sizes_equals_singles(tiny_model):
    model = tiny_model.eval()
    records = [noisy(64, 96, 0), noisy(96, 64, 1), noisy(64, 96, 2)]
    with torch.no_grad():
        together = model(records)
        alone = [model([one])[0] for one in records]
    for result, single in zip(together, alone):
        torch.testing.assert_close(result["pred_masks"], single["pred_masks"], rtol=0, atol=1e-4)
        assert torch.equal(result["pred_labels"], single["pred_labels"])


def test_losses_are_finite_and_an_image_without_labels_only_teaches_no_object(tiny_model):
    model = tiny_model.train()
    labelled = model([noisy(64, 64, 0) | {"sem_seg": record(64, 64, label=1)["sem_seg"]}] * 2)
    empty = model([noisy(64, 64, 0) | {"sem_seg": record(64, 64, label=255)["sem_seg"]}] * 2)
    for losses in (labelled, empty):
        assert all(torch.isfinite(value) for value in losses.values())
    assert labelled["loss_dice"] > 0 and empty["loss_dice"] == 0
    sum(empty.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
