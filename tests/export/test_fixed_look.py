"""The look of fixed shape has the values of `ZSKNet.look`, in each way to look at regions."""

import pytest
import torch
from tiny_head import CLUSTERS, LINEAR, NO_ASPP, QUERIES, REGIONS, tiny_config
from torch.nn import functional as F

from zsk.classification.build import build_encoder
from zsk.classification.region_encoder import build_region_encoder
from zsk.export.look import FixedLook, side_divisor
from zsk.zsk_net import ZSKNet


@pytest.fixture(scope="module")
def clip(tiny_clip):
    return str(tiny_clip)


@pytest.mark.parametrize(
    "mode, antialias, interpolation",
    [
        *(("crop", True, "bicubic"), ("crop", True, "bilinear"), ("crop", False, "bicubic")),
        ("one_pass", True, "bicubic"),
    ],
)
def test_regions_are_those_of_the_encoder(clip, mode, antialias, interpolation):
    """Masks of all sizes, the whole photo, one cell, a mask without a pixel, two thresholds."""
    encoder = build_region_encoder(mode, build_encoder(clip), [0.5, 0.7], antialias)
    encoder.encoder.interpolation = interpolation
    photo = F.interpolate(torch.rand(1, 3, 9, 12) * 255, (72, 96), mode="bilinear")[0]
    masks = F.interpolate(torch.randn(1, 12, 4, 5), (18, 24), mode="bilinear")[0]
    masks[:3] = torch.tensor([-1.0, 1.0, -1.0])[:, None, None]
    masks[2, 3, 4] = 9.0
    expected, shown = encoder(photo, masks)
    encoder.fixed = True
    embeddings, valid = encoder(photo, masks)
    assert shown.tolist() == valid.tolist() == [False] + [True] * 11
    torch.testing.assert_close(embeddings, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["crop", "one_pass"])
def test_a_graph_calls_the_image_tower_once(clip, mode):
    """An exported file holds the weights for each call."""
    encoder, calls = build_region_encoder(mode, build_encoder(clip), [0.5, 0.7]), []
    encoder.encoder.network("clip").visual.conv1.register_forward_hook(lambda *_: calls.append(1))
    encoder.fixed = True
    encoder(torch.rand(3, 32, 32) * 255, torch.randn(40, 8, 8))
    assert calls == [1]


SYSTEMS = {"kernels": (), "queries": QUERIES, "clusters": CLUSTERS + REGIONS + NO_ASPP}
SYSTEMS["K-Net"] = (*LINEAR, "MODEL.ENSEMBLE.MODE", "head")
SYSTEMS["photo"] = ("TEST.VOTES_AT", "photo", "TEST.SIZE_DIVISIBILITY", 64)


def build_tiny(system, clip):
    """A model with random weights."""
    torch.manual_seed(0)
    return ZSKNet(tiny_config("MODEL.CLIP.NAME", clip, *SYSTEMS[system])).eval()


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_look_of_fixed_shape(system, clip):
    model = build_tiny(system, clip)
    photo = torch.randint(0, 256, (64, 64, 3)).byte()
    (regions,) = model.look([photo.permute(2, 0, 1)])
    look = FixedLook(model)
    with torch.inference_mode():
        found = dict(zip(look.outputs, look(photo)))
    torch.testing.assert_close(found["masks"], regions.masks, rtol=0, atol=1e-4)
    if system == "K-Net":
        with torch.inference_mode():
            expected = model.sem_seg_head.class_logits(regions.head_embeddings, torch.zeros(3, 1))
        assert found.keys() == {"masks", "head"}
    else:
        expected = regions.head_embeddings
        torch.testing.assert_close(found["clip"], regions.clip_embeddings, rtol=0, atol=1e-4)
        assert torch.equal(found["valid"], regions.valid)
    torch.testing.assert_close(found["head"], expected, rtol=0, atol=1e-4)
    assert side_divisor(model) == (64 if system == "photo" else 32)
