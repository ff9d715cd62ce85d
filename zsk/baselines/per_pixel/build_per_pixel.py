"""Builds backbone and head of PerPixelNet, and checks the keys that it cannot follow."""

from detectron2.config import CfgNode
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from detectron2.modeling.backbone import Backbone

from zsk.backbones.build import build_backbone
from zsk.classification.text_classifier import TextClassifier
from zsk.errors import UserError

from .known_classes import known_classes
from .pixel_head import PixelHead


def build_fcn(
    cfg: CfgNode, embed_dim: int, text_classifier: TextClassifier
) -> tuple[Backbone, PixelHead]:
    backbone = build_backbone(cfg)
    kind = SEM_SEG_HEADS_REGISTRY.get(cfg.MODEL.SEM_SEG_HEAD.NAME)
    if not issubclass(kind, PixelHead):
        raise UserError(
            f"MODEL.SEM_SEG_HEAD.NAME is {kind.__name__}, but MODEL.META_ARCHITECTURE PerPixelNet "
            "takes heads of single pixels: TextFCNHead, SPNetHead, ZS3Head, CaGNetHead, JoEmHead"
        )
    parts = [cfg, backbone.output_shape(), embed_dim]
    if kind.learns_classifier:
        parts.append(known_classes(cfg, text_classifier))
    return backbone, kind(*parts)


def check_options(cfg: CfgNode) -> None:
    """Raises UserError for what this model cannot do: now, not at the first evaluation."""
    if cfg.MODEL.TEST_DTYPE != "float32":
        raise UserError(
            f"MODEL.TEST_DTYPE is {cfg.MODEL.TEST_DTYPE!r}, but MODEL.META_ARCHITECTURE "
            "PerPixelNet computes in float32 only: take it out"
        )
    distances = cfg.MODEL.ENSEMBLE.SEEN_PENALTY_ON == "distances"
    if distances and cfg.MODEL.SEM_SEG_HEAD.NAME != "JoEmHead":
        raise UserError(
            "MODEL.ENSEMBLE.SEEN_PENALTY_ON distances is about prototypes, which "
            f"MODEL.SEM_SEG_HEAD.NAME {cfg.MODEL.SEM_SEG_HEAD.NAME} has none of: choose "
            "probabilities or logits"
        )
    if distances and cfg.MODEL.ENSEMBLE.SEEN_PENALTY >= 1:
        raise UserError(
            f"MODEL.ENSEMBLE.SEEN_PENALTY is {cfg.MODEL.ENSEMBLE.SEEN_PENALTY}, but with "
            "SEEN_PENALTY_ON distances it has to be below 1: a distance is multiplied by 1 less it"
        )
    for key, wanted in (
        ("TEST.PROPOSAL_RECALL", cfg.TEST.PROPOSAL_RECALL),
        ("TEST.AUG.ENABLED", cfg.TEST.AUG.ENABLED),
        ("TEST.TILES", cfg.TEST.TILES),
        ("INPUT.RECOLOR", cfg.INPUT.RECOLOR),
        ("MODEL.CLIP.FURTHER_THRESHOLDS", cfg.MODEL.CLIP.FURTHER_THRESHOLDS),
        ("MODEL.ENSEMBLE.MASK_SOFTMAX", cfg.MODEL.ENSEMBLE.MASK_SOFTMAX),
    ):
        if wanted:
            raise UserError(
                f"{key} is about mask proposals, which MODEL.META_ARCHITECTURE PerPixelNet has "
                "none of: switch it off"
            )
