"""The meta-architecture around small parts: batches, empty targets, and its settings at work."""

import math

import pytest
import torch
from tiny_head import (
    CLUSTERS,
    FINE,
    LINEAR,
    PYRAMID,
    QUERIES,
    REGIONS,
    Pixels,
    build_backbone_and_head,
    colour_net,
    tiny_config,
)
from torch import nn

from zsk.classification.prompts import TEMPLATES
from zsk.proposals.outputs import Proposals
from zsk.regions import Ensemble
from zsk.vocabulary import Vocabulary
from zsk.zsk_net import ZSKNet

WORDS = ("red", "green", "yellow")
VOCABULARY = Vocabulary(WORDS, WORDS, (True, True, False))


class OneMask(nn.Module):
    """A head whose proposals cover everything; logits 2, 0, 1 and none for no object."""

    def __init__(self, logits=((2.0, 0.0, 1.0, -50.0),), masks=(9.0,)):
        super().__init__()
        self.logits, self.masks = torch.tensor(logits), torch.tensor(masks)[:, None, None]

    def forward(self, features):
        batch, count = len(features["pixels"]), len(self.logits)
        logits = self.logits.expand(batch, count, 4)
        return [Proposals(logits, self.masks.expand(batch, count, 2, 2))]

    def class_logits(self, embeddings, text, stage=-1):
        return embeddings


def build(backbone=None, head=None, **settings):
    return colour_net(backbone or Pixels(), head or OneMask(), **settings)


def record(height=32, width=48, colour=(0, 0, 0)):
    image = torch.tensor(colour, dtype=torch.uint8)[:, None, None].expand(3, height, width)
    return {"image": image, "vocabulary": VOCABULARY, "height": height, "width": width}


def answer(**settings):
    """The one label that the stub's model gives to all pixels of a pure green photo."""
    with torch.no_grad():
        (result,) = build(**settings).eval()([record(colour=(0, 255, 0))])
    (label,) = result["pred_labels"].unique().tolist()
    return WORDS[label]


def test_a_penalty_of_seen_classes_gives_the_pixel_to_the_unseen_one():
    assert answer(ensemble=Ensemble("head", seen_penalty=0.9)) == "red"
    assert answer(ensemble=Ensemble("head", seen_penalty=1.1)) == "yellow"


def test_the_region_encoder_looks_at_the_photo():
    assert answer(ensemble=Ensemble("clip")) == "green"


def test_competing_masks_decide_the_labels():
    """Two half-sure proposals of red and a sure one of green, everywhere."""
    logits = [[9.0, 0, 0, -50], [9.0, 0, 0, -50], [0, 9.0, 0, -50]]
    head = OneMask(logits, [0.0, 0.0, 1.0])
    assert answer(head=head) == "red"  # 0.5 + 0.5 against 0.73
    assert answer(head=head, mask_softmax=2.0) == "green"  # 0.21 against 0.79


def test_masks_that_are_not_finite_become_so():
    head = OneMask([[0.0] * 4] * 4, [math.nan, -math.inf, math.inf, 2.0])
    (regions,) = build(head=head).eval().look([record()["image"]])
    expected = torch.tensor([-1e4, -1e4, 1e4, 2.0])[:, None, None].expand(4, 2, 2)
    assert torch.equal(regions.masks, expected)


def test_the_keys_of_naming_reach_the_model(tiny_clip):
    clip = ["MODEL.CLIP.NAME", str(tiny_clip)]
    clip += ["MODEL.CLIP.TEMPERATURE", 25.0, "MODEL.CLIP.MASK_THRESHOLD", 0.25]
    clip += ["MODEL.CLIP.FURTHER_THRESHOLDS", [0.75], "MODEL.CLIP.REGION_PROMPT", "vild"]
    clip += ["MODEL.CLIP.CROP_ANTIALIAS", False, "MODEL.CLIP.ONE_PASS_SIZE", 96]
    clip += ["MODEL.ENSEMBLE.EMPTY", "one"]
    tests = ["TEST.SIZE_DIVISIBILITY", 48, "TEST.VOTES_AT", "photo"]
    model = ZSKNet(tiny_config(*clip, *tests, "MODEL.ENSEMBLE.MASK_SOFTMAX", 1.5))
    assert model.region_text_classifier.templates == TEMPLATES["vild"]
    assert not model.region_encoder.antialias and model.ensemble.empty == "one"
    assert model.size_divisibility == 96 and model.votes_at == "photo"  # strides of up to 32
    encoder = model.region_encoder.encoder
    assert encoder.logit_scale == 25.0 and encoder.one_pass_size == 96
    assert model.region_encoder.logit_thresholds == pytest.approx((-math.log(3), math.log(3)))
    assert model.mask_softmax == 1.5


SYSTEMS = {"ZSK-Net": (), "K-Net": LINEAR, "ZS-MaskFormer": QUERIES, "MaskFormer": QUERIES + LINEAR}


def small_model(opts=()):
    """A real backbone and a head of D=32, N=6, dynamic kernels unless `opts` say otherwise."""
    torch.manual_seed(0)
    cfg = tiny_config("MODEL.SEM_SEG_HEAD.TEMPERATURE", 1.0, *opts)
    backbone, head = build_backbone_and_head(cfg, embed_dim=3)
    return build(backbone, head, ensemble=Ensemble("head" if "linear" in opts else "ensemble"))


@pytest.fixture(params=SYSTEMS)
def tiny_model(request):
    """Each of the systems; the fully supervised ones without CLIP."""
    return small_model(SYSTEMS[request.param])


def noisy(height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (3, height, width), generator=generator).byte()
    return record(height, width) | {"image": image}


def labelled(label):
    return noisy(64, 64, 0) | {"sem_seg": torch.full((64, 64), label)}


@pytest.mark.parametrize("opts", [*SYSTEMS.values(), FINE, PYRAMID, CLUSTERS, CLUSTERS + REGIONS])
def test_a_batch_of_different_sizes_equals_singles(opts):
    model = small_model(opts).eval()
    records = [noisy(64, 96, 0), noisy(96, 64, 1), noisy(64, 96, 2)]
    together = zip(model(records), model.look([one["image"] for one in records]))
    for one, (result, regions) in zip(records, together):
        (single,), (alone,) = model([one]), model.look([one["image"]])
        torch.testing.assert_close(result["pred_masks"], single["pred_masks"], rtol=0, atol=2e-5)
        assert torch.equal(result["pred_labels"], single["pred_labels"])
        scores, expected = (model.name(look, VOCABULARY).scores for look in (regions, alone))
        torch.testing.assert_close(scores, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_photo_of_one_cell(system):
    """At the least width of the configurations: torch refuses the norm of a single value."""
    widths = ("KERNELS.DIM", "SEM_SEG_HEAD.ASPP_CHANNELS", "MASK_FORMER.CONV_DIM")
    wide = (part for key in widths for part in (f"MODEL.{key}", 64))
    model = small_model((*SYSTEMS[system], *wide)).eval()
    for height, width in ((1, 1), (1, 31), (31, 1), (31, 31)):
        with torch.no_grad():
            (result,) = model([noisy(height, width, 0)])
        assert result["pred_labels"].shape == (height, width)
        assert torch.isfinite(result["pred_masks"]).all()


def test_losses_are_finite_and_an_image_without_labels_only_teaches_no_object(tiny_model):
    model = tiny_model.train()
    full, empty = model([labelled(1)] * 2), model([labelled(255)] * 2)
    assert all(torch.isfinite(value) for value in (*full.values(), *empty.values()))
    assert full["loss_dice"] > 0 and empty["loss_dice"] == 0
    sum(empty.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_the_encoders_image_tower_takes_no_part_in_training(tiny_model, monkeypatch):
    """It would take most of a step's time, and no loss asks for it."""
    for name in ("encode_image", "encode_regions", "encode_dense"):
        monkeypatch.setattr(tiny_model.region_encoder.encoder, name, None)  # a call would raise
    assert sum(tiny_model.train()([labelled(1)] * 2).values()) > 0


def test_a_segment_without_a_name_still_teaches_a_mask(tiny_model):
    one = labelled(255)
    one["unnamed"] = one["sem_seg"].clone()
    one["unnamed"][:, :32] = 1
    losses = tiny_model.train()([one] * 2)
    assert all(torch.isfinite(value) for value in losses.values())
    assert losses["loss_dice"] > 0 and losses["loss_focal"] > 0


def test_one_look_serves_any_vocabulary(tiny_model):
    model, one = tiny_model.eval(), noisy(64, 96, 0)
    calls = []
    model.backbone.register_forward_hook(lambda *_: calls.append(1))
    (regions,) = model.look([one["image"]])
    words = ("yellow", "red", "green")
    for vocabulary in (VOCABULARY, Vocabulary(words, words, (False, True, True))):
        probs = model.name(regions, vocabulary).scores
        assert probs.shape == (6, 3) and 0 <= probs.min() <= probs.max() <= 1
        assert model.label(regions, vocabulary, (64, 96)).shape == (64, 96)
    assert calls == [1]
    labels = model.label(regions, VOCABULARY, (64, 96))
    assert torch.equal(labels, model([one])[0]["pred_labels"])


def test_labels_in_bfloat16_are_nearly_those_of_float32():
    model, one = small_model().eval(), noisy(64, 96, 0)
    (exact,) = model([one])
    model.test_dtype = torch.bfloat16
    (rounded,) = model([one])
    assert rounded["pred_masks"].dtype == torch.float32
    assert not torch.equal(rounded["pred_masks"], exact["pred_masks"])
    assert (rounded["pred_labels"] == exact["pred_labels"]).float().mean() > 0.9
