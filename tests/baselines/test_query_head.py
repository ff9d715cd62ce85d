"""ZS-MaskFormer's head as a configuration builds it (see also tests/proposals/)."""

from pathlib import Path

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from tiny_head import (
    EMBED_DIM,
    QUERIES,
    build_backbone_and_head,
    photos,
    scored,
    texts,
    tiny_config,
)
from torch import nn

from zsk.data.splits import get_split
from zsk.errors import UserError
from zsk.load import load_config

RESNET = {"res2": (256, 4), "res3": (512, 8), "res4": (1024, 16), "res5": (2048, 32)}


def build(*opts):
    return build_backbone_and_head(tiny_config(*QUERIES, *opts))


@pytest.mark.parametrize("hidden, expected", [([], [32, 32]), ([64], [64]), ([64, 8], [64, 8])])
def test_the_class_embedding_has_the_widths_that_are_asked_for(hidden, expected):
    head = build("MODEL.SEM_SEG_HEAD.CLASS_HIDDEN_DIMS", hidden)[1]
    linears = [layer for layer in head.class_scores.embedding if isinstance(layer, nn.Linear)]
    assert [layer.in_features for layer in linears] == [32, *expected]
    assert [layer.out_features for layer in linears] == [*expected, EMBED_DIM]
    # a ReLU between them, none at the end
    assert len(head.class_scores.embedding) == 2 * len(linears) - 1


def test_dropout_is_off_in_evaluation_and_on_in_training():
    backbone, head = build()
    decoder = head.transformer_decoder
    with torch.no_grad():
        feature = backbone(photos())["res5"]
        assert torch.equal(decoder(feature)[-1], decoder(feature)[-1])
        decoder.train()
        assert not torch.equal(decoder(feature)[-1], decoder(feature)[-1])


@pytest.mark.parametrize(
    "opts, words",
    [
        (
            ("MODEL.RESNETS.OUT_FEATURES", ["res2", "res5"]),
            "'res3', 'res4', but .* gives res2, res5: add",
        ),
        (("MODEL.SEM_SEG_HEAD.IN_FEATURES", []), "IN_FEATURES is \\[\\]: name"),
        (("MODEL.SEM_SEG_HEAD.IN_FEATURES", ["res5", "res2"]), "put the finest first"),
        (("MODEL.SEM_SEG_HEAD.CLASS_FEATURES", ["res5"]), "scores its queries: set it to \\[\\]"),
        (("MODEL.MASK_FORMER.CONV_DIM", 48), "CONV_DIM is 48, .* multiple of 32"),
        (("MODEL.MASK_FORMER.DIM", 30), "DIM is 30, .* multiple of 4 and of .*NUM_HEADS 2"),
        (("MODEL.MASK_FORMER.NUM_HEADS", 5), "DIM is 32, .* multiple of 4 and of .*NUM_HEADS 5"),
    ],
)
def test_impossible_configurations_name_the_key(opts, words):
    with pytest.raises(UserError, match=words):
        build(*opts)


@pytest.mark.parametrize(
    "folder, split", [("voc-11k-15", "voc"), ("coco-stuff-164k-156", "coco_stuff")]
)
@pytest.mark.parametrize("system", ["zs_maskformer", "maskformer", "knet"])
def test_the_benchmarks_configurations_build_the_compared_systems(checkout, folder, split, system):
    (path,) = Path(checkout, "configs", folder).glob(f"{system}_R101_bs8_*k.yaml")
    cfg = load_config(str(path))
    num_classes = len(get_split(split))
    sizes = {name: RESNET[name] for name in cfg.MODEL.RESNETS.OUT_FEATURES}
    shapes = {name: ShapeSpec(channels=c, stride=s) for name, (c, s) in sizes.items()}
    head = SEM_SEG_HEADS_REGISTRY.get(cfg.MODEL.SEM_SEG_HEAD.NAME)(cfg, shapes, EMBED_DIM).eval()
    features = {name: torch.zeros(1, c, 64 // s, 64 // s) for name, (c, s) in sizes.items()}
    with torch.no_grad():
        outputs = scored(head, features, texts(num_classes))
    # K-Net: three stages after the kernels themselves
    assert len(outputs) == {"knet": 4}.get(system, 6)
    assert outputs[-1].pred_masks.shape == (1, 100, 16, 16)
    assert outputs[-1].pred_logits.shape == (1, 100, num_classes + 1)
    supervised = system != "zs_maskformer"
    assert cfg.DATASETS.TRAIN == (f"{split}_{'supervised' if supervised else 'zs'}_train",)
    assert cfg.MODEL.ENSEMBLE.MODE == ("head" if supervised else "ensemble")
