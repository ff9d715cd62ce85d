"""A configuration of a head and backbone small enough for tests, and what both heads have to do."""

import torch
from detectron2.config import get_cfg
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY, build_backbone
from torch import nn

from zsk.config import add_zsk_config
from zsk.data.targets import segments_from_sem_seg
from zsk.proposals.criterion import SetCriterion
from zsk.proposals.outputs import ScoredProposals

EMBED_DIM = 12
FEATURES = ["res2", "res3", "res4", "res5"]
# options of `tiny_config` that put ZSMaskFormerHead in the kernels' place: N=6, D=32, L=3
_MASK_FORMER = {"NUM_QUERIES": 6, "DIM": 32, "NUM_LAYERS": 3, "NUM_HEADS": 2}
_MASK_FORMER |= {"DIM_FEEDFORWARD": 32, "CONV_DIM": 32, "MASK_DIM": 16}
QUERIES = (
    *("MODEL.SEM_SEG_HEAD.NAME", "ZSMaskFormerHead"),
    *("MODEL.RESNETS.OUT_FEATURES", FEATURES, "MODEL.SEM_SEG_HEAD.IN_FEATURES", FEATURES),
    *(part for key, value in _MASK_FORMER.items() for part in (f"MODEL.MASK_FORMER.{key}", value)),
)


def tiny_config(*opts):
    """N=6, D=32, S=2 on a timm network of 0.1 million parameters; `opts`: KEY, VALUE, …"""
    cfg = get_cfg()
    add_zsk_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.NAME = "build_timm_backbone"
    cfg.MODEL.TIMM.NAME = "test_efficientnet"
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res5"]
    head, kernels = cfg.MODEL.SEM_SEG_HEAD, cfg.MODEL.KERNELS
    head.NAME, head.IN_FEATURES, head.NORM = "DynamicKernelHead", ["res5"], "GN"
    head.ASPP_CHANNELS, head.ASPP_DILATIONS = 32, [1, 2, 3]
    kernels.NUM_KERNELS, kernels.CLUSTER_COUNTS, kernels.DIM = 6, [2, 4], 32
    kernels.NUM_STAGES, kernels.NUM_HEADS, kernels.DIM_FEEDFORWARD = 2, 2, 32
    cfg.merge_from_list(list(opts))
    return cfg


def make_criterion():
    """The method's weights."""
    return SetCriterion(
        class_weight=1.0,
        focal_weight=20.0,
        dice_weight=1.0,
        no_object_weight=0.1,
        ignore_aware=True,
    )


def build_backbone_and_head(cfg, embed_dim=EMBED_DIM):
    """What ZSKNet builds from the configuration, in evaluation mode."""
    backbone = build_backbone(cfg)
    head = SEM_SEG_HEADS_REGISTRY.get(cfg.MODEL.SEM_SEG_HEAD.NAME)
    return backbone.eval(), head(cfg, backbone.output_shape(), embed_dim).eval()


def scored(head, features, text):
    """The proposals of every stage of a head, scored against `text` (K,E)."""
    return [
        ScoredProposals(head.class_logits(embeddings, text, stage), masks)
        for stage, (embeddings, masks) in enumerate(head(features))
    ]


def photos(batch=2):
    """(batch,3,64,96) of soft blobs."""
    torch.manual_seed(1)
    return nn.functional.interpolate(torch.randn(batch, 3, 4, 6), (64, 96), mode="bilinear")


def texts(num_classes=3):
    torch.manual_seed(2)
    return nn.functional.normalize(torch.randn(num_classes, EMBED_DIM), dim=1)


def check_every_output(outputs, size, count):
    """All N=6 masks of the given size, scores of 3 names, another mask in every stage."""
    assert len(outputs) == count
    for proposals in outputs:
        assert proposals.pred_masks.shape == (2, 6, *size)
        assert proposals.pred_logits.shape == (2, 6, 4)
        assert proposals.pred_logits.dtype == torch.float32
    for before, after in zip(outputs, outputs[1:]):
        assert not torch.allclose(before.pred_masks, after.pred_masks, atol=1e-3)


def check_a_batch_of_two_equals_two_singles(backbone, head):
    images = photos()
    with torch.no_grad():
        both = scored(head, backbone(images), texts())
        singles = [scored(head, backbone(image[None]), texts()) for image in images]
    for i, single in enumerate(singles):
        for stage, expected in zip(both, single, strict=True):
            masks, expected_masks = stage.pred_masks[i].sigmoid(), expected.pred_masks[0].sigmoid()
            torch.testing.assert_close(masks, expected_masks, rtol=0, atol=1e-5)
            logits = stage.pred_logits[i]
            torch.testing.assert_close(logits, expected.pred_logits[0], rtol=0, atol=1e-5)


def check_that_every_parameter_gets_a_gradient(backbone, head, label):
    """The same label everywhere; 255: no segment."""
    segments = [segments_from_sem_seg(torch.full((64, 96), label))] * 2
    losses = make_criterion()(scored(head, backbone(photos()), texts()), segments, ["a", "b"])
    sum(losses.values()).backward()
    for module in (backbone, head):
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, name
                assert torch.isfinite(parameter.grad).all(), name


def check_half_precision(backbone, head, dtype):
    with torch.no_grad(), torch.autocast("cpu", dtype):
        features = {name: 200 * f for name, f in backbone(photos()).items()}
        for proposals in scored(head, features, texts()):
            assert torch.isfinite(proposals.pred_masks).all()
            assert torch.isfinite(proposals.pred_logits).all()
