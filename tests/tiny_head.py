"""A configuration of a head and backbone small enough for tests, and what they take."""

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY, build_backbone
from tiny_clip import ColourEncoder
from torch import nn

from zsk.classification.prompts import get_templates
from zsk.classification.region_encoder import CropEncoder
from zsk.classification.text_classifier import TextClassifier
from zsk.config import default_config
from zsk.proposals.criterion import SetCriterion
from zsk.proposals.outputs import ScoredProposals
from zsk.regions import Ensemble
from zsk.zsk_net import ZSKNet

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
FINE = ("MODEL.SEM_SEG_HEAD.FINE_FEATURE", "res2")
PYRAMID = ("MODEL.SEM_SEG_HEAD.IN_FEATURES", ["res2", "res5"], "MODEL.SEM_SEG_HEAD.CONVS_DIM", 32)
CLUSTERS = ("MODEL.KERNELS.INIT", "clusters")
REGIONS = ("MODEL.SEM_SEG_HEAD.CLASS_FEATURES", ["res5"], "MODEL.KERNELS.MASK_UPDATE", "add")
NO_ASPP = ("MODEL.SEM_SEG_HEAD.IN_FEATURES", [], "MODEL.KERNELS.NUM_STAGES", 0)
LINEAR = ("MODEL.SEM_SEG_HEAD.CLASSIFIER", "linear", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 3)


def tiny_config(*opts):
    """N=6, D=32, S=2 on a timm network of 0.1 million parameters; `opts`: KEY, VALUE, …"""
    cfg = default_config()
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


class Pixels(nn.Module):
    """A backbone that passes its input on."""

    def forward(self, images):
        return {"pixels": images}

    def output_shape(self):
        return {"pixels": ShapeSpec(channels=3, stride=1)}


def make_criterion(**changes):
    """The method's weights, and changes of them."""
    settings = {"class_weight": 1.0, "focal_weight": 20.0, "dice_weight": 1.0}
    settings |= {"no_object_weight": 0.1, "ignore_aware": True}
    return SetCriterion(**(settings | changes))


def colour_net(backbone, head, **settings):
    """ZSK-Net of these parts, in which `ColourEncoder` names; `settings`: of its constructor."""
    encoder = ColourEncoder()
    parts = {
        "criterion": make_criterion(),
        "text_classifier": TextClassifier(encoder, get_templates("single")),
        "region_encoder": CropEncoder(encoder),
        "ensemble": Ensemble("head", 0.5),
        "pixel_mean": [0.0] * 3,
        "pixel_std": [255.0] * 3,
    }
    return ZSKNet(backbone=backbone, sem_seg_head=head, **{**parts, **settings})


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
