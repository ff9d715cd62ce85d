"""The meta-architecture around small parts: batches, empty targets, and its settings at work."""

import math

import pytest
import torch
from tiny_clip import ColourEncoder, save_tiny_clip
from tiny_head import QUERIES, build_backbone_and_head, make_criterion, tiny_config
from torch import nn

from zsk.classification.prompts import get_templates
from zsk.classification.region_encoder import CropEncoder
from zsk.classification.text_classifier import TextClassifier
from zsk.errors import UserError
from zsk.proposals.outputs import Proposals
from zsk.regions import Ensemble
from zsk.vocabulary import Vocabulary
from zsk.zsk_net import ZSKNet

WORDS = ("red", "green", "yellow")
VOCABULARY = Vocabulary(WORDS, WORDS, (True, True, False))


class OneMask(nn.Module):
    """A head of one proposal that covers everything, with logits 2, 0, 1 and none for no object."""

    def forward(self, features):
        batch = len(features["pixels"])
        logits = torch.tensor([2.0, 0.0, 1.0, -50.0]).expand(batch, 1, 4)
        return [Proposals(logits, torch.full((batch, 1, 2, 2), 9.0))]

    def class_logits(self, embeddings, text, stage=-1):
        return embeddings


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
        "region_encoder": CropEncoder(encoder),
        "ensemble": Ensemble("head", 0.5),
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
    assert answer(ensemble=Ensemble("head", seen_penalty=0.9)) == "red"
    assert answer(ensemble=Ensemble("head", seen_penalty=1.1)) == "yellow"


def test_the_region_encoder_looks_at_the_photo():
    assert answer(ensemble=Ensemble("clip")) == "green"


def test_lambda_weighs_the_head_against_clip():
    assert answer(ensemble=Ensemble(lam=1.0)) == "red"
    # λ = 0: seen classes by the region classifier alone, unseen ones by the head alone (0.24)
    assert answer(ensemble=Ensemble(lam=0.0)) == "green"


class ThreeMasks(OneMask):
    """Two half-sure proposals of red and a sure one of green, everywhere."""

    def forward(self, features):
        batch = len(features["pixels"])
        logits = torch.tensor([[9.0, 0, 0, -50], [9.0, 0, 0, -50], [0, 9.0, 0, -50]])
        masks = torch.tensor([0.0, 0.0, 1.0])[:, None, None].expand(batch, 3, 2, 2)
        return [Proposals(logits.expand(batch, 3, 4), masks)]


def test_competing_masks_decide_the_labels():
    assert answer(head=ThreeMasks()) == "red"  # 0.5 + 0.5 against 0.73
    assert answer(head=ThreeMasks(), mask_softmax=2.0) == "green"  # 0.21 against 0.79


def test_the_keys_of_naming_reach_the_model(tmp_path):
    clip = str(save_tiny_clip(tmp_path / "clip.pt"))
    changes = {
        "MODEL.CLIP.NAME": clip,
        "MODEL.CLIP.TEMPERATURE": 25.0,
        "MODEL.CLIP.MASK_THRESHOLD": 0.25,
        "MODEL.CLIP.FURTHER_THRESHOLDS": [0.75],
        "MODEL.ENSEMBLE.MASK_SOFTMAX": 1.5,
    }
    model = ZSKNet(tiny_config(*[word for pair in changes.items() for word in pair]))
    assert model.region_encoder.encoder.logit_scale == 25.0
    assert model.region_encoder.logit_thresholds == pytest.approx((-math.log(3), math.log(3)))
    assert model.mask_softmax == 1.5


LINEAR = ("MODEL.SEM_SEG_HEAD.CLASSIFIER", "linear", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 3)
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


def test_the_backbone_reads_pixels_in_channels_last(tiny_model):
    seen = []
    tiny_model.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    tiny_model.train()([noisy(64, 64, 0) | {"sem_seg": torch.zeros(64, 64, dtype=torch.int64)}] * 2)
    tiny_model.eval()([noisy(64, 64, 0)])
    assert len(seen) == 2
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen)


def test_losses_are_finite_and_an_image_without_labels_only_teaches_no_object(tiny_model):
    model = tiny_model.train()
    labelled = model([noisy(64, 64, 0) | {"sem_seg": record(64, 64, label=1)["sem_seg"]}] * 2)
    empty = model([noisy(64, 64, 0) | {"sem_seg": record(64, 64, label=255)["sem_seg"]}] * 2)
    for losses in (labelled, empty):
        assert all(torch.isfinite(value) for value in losses.values())
    assert labelled["loss_dice"] > 0 and empty["loss_dice"] == 0
    sum(empty.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_the_encoders_image_tower_takes_no_part_in_training(tiny_model, monkeypatch):
    """It would take most of a step's time, and no loss asks for it."""
    seen: list[str] = []
    encoder = tiny_model.region_encoder.encoder
    for name in ("encode_image", "encode_regions", "encode_dense"):
        monkeypatch.setattr(encoder, name, lambda *args, name=name: seen.append(name))
    batch = [noisy(64, 64, 0) | {"sem_seg": record(64, 64, label=1)["sem_seg"]}] * 2
    sum(tiny_model.train()(batch).values()).backward()
    assert seen == []
    tiny_model.region_encoder.encoder.encode_image = lambda crops: seen.append("crops") or crops
    with pytest.raises(RuntimeError):  # a look, however, asks it
        tiny_model.region_encoder(batch[0]["image"], torch.ones(1, 16, 16))
    assert seen == ["crops"]


def test_a_segment_without_a_name_still_teaches_a_mask(tiny_model):
    one = noisy(64, 64, 0) | {"sem_seg": record(64, 64, label=255)["sem_seg"]}
    one["unnamed"] = one["sem_seg"].clone()
    one["unnamed"][:, :32] = 1
    losses = tiny_model.train()([one] * 2)
    assert all(torch.isfinite(value) for value in losses.values())
    assert losses["loss_dice"] > 0 and losses["loss_focal"] > 0


def test_results_carry_no_autograd_and_labels_stay_integers():
    (result,) = small_model().eval()([noisy(64, 64, 0)])
    assert result["pred_labels"].is_inference() and result["pred_labels"].dtype == torch.int64


def test_one_look_serves_any_vocabulary(tiny_model):
    model, one = tiny_model.eval(), noisy(64, 96, 0)
    calls = []
    model.backbone.register_forward_hook(lambda *_: calls.append(1))
    (regions,) = model.look([one["image"]])
    words = ("yellow", "red", "green")
    for vocabulary in (VOCABULARY, Vocabulary(words, words, (False, True, True))):
        probs = model.name(regions, vocabulary)
        assert probs.shape == (6, 3) and 0 <= probs.min() <= probs.max() <= 1
        assert model.label(regions, vocabulary, (64, 96)).shape == (64, 96)
    assert calls == [1]
    labels = model.label(regions, VOCABULARY, (64, 96))
    assert torch.equal(labels, model([one])[0]["pred_labels"])


def test_half_precision_covers_backbone_and_head_alone():
    seen = {}

    class Watching(OneMask):
        def forward(self, features):
            seen["head"] = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
            return super().forward(features)

    model = build(head=Watching(), ensemble=Ensemble("clip"), test_dtype="bfloat16").eval()
    (result,) = model([record(colour=(0, 255, 0))])
    assert seen["head"] == (True, torch.bfloat16)
    assert result["pred_masks"].dtype == torch.float32
    assert result["pred_labels"].unique().tolist() == [1]
    build(head=Watching()).eval()([record()])
    assert not seen["head"][0]


def test_labels_in_bfloat16_are_nearly_those_of_float32():
    model, one = small_model().eval(), noisy(64, 96, 0)
    (exact,) = model([one])
    model.test_dtype = torch.bfloat16
    (rounded,) = model([one])
    assert rounded["pred_masks"].dtype == torch.float32
    assert not torch.equal(rounded["pred_masks"], exact["pred_masks"])
    assert (rounded["pred_labels"] == exact["pred_labels"]).float().mean() > 0.9


def test_an_unknown_precision_is_refused():
    with pytest.raises(UserError, match="MODEL.TEST_DTYPE is 'half': choose one of float32"):
        build(test_dtype="half")
