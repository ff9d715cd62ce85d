"""Builds the parts of ZSMaskFormerHead from a configuration."""

from collections.abc import Mapping

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec

from zsk.errors import UserError
from zsk.proposals.build_features import check_norm_width, check_pyramid
from zsk.proposals.pixel_decoder import PixelDecoder

from .transformer_decoder import TransformerDecoder


def check_query_settings(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> None:
    """Raises UserError for features and widths that do not go together."""
    head = cfg.MODEL.SEM_SEG_HEAD
    _check_features(head, input_shape)
    if head.CLASS_FEATURES:
        raise UserError(
            f"MODEL.SEM_SEG_HEAD.CLASS_FEATURES is {list(head.CLASS_FEATURES)}, but "
            "ZSMaskFormerHead scores its queries: set it to []"
        )
    _check_sizes(cfg.MODEL.MASK_FORMER)
    check_norm_width(head.NORM, "MASK_FORMER.CONV_DIM", cfg.MODEL.MASK_FORMER.CONV_DIM)


def build_pixel_decoder(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> PixelDecoder:
    """The feature pyramid over MODEL.SEM_SEG_HEAD.IN_FEATURES."""
    return PixelDecoder(
        input_shape,
        in_features=cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES,
        conv_dim=cfg.MODEL.MASK_FORMER.CONV_DIM,
        mask_dim=cfg.MODEL.MASK_FORMER.MASK_DIM,
        norm=cfg.MODEL.SEM_SEG_HEAD.NORM,
    )


def build_transformer_decoder(
    cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]
) -> TransformerDecoder:
    """The queries and their layers, on the last of MODEL.SEM_SEG_HEAD.IN_FEATURES."""
    settings = cfg.MODEL.MASK_FORMER
    return TransformerDecoder(
        int(input_shape[cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES[-1]].channels or 0),
        num_queries=settings.NUM_QUERIES,
        dim=settings.DIM,
        num_layers=settings.NUM_LAYERS,
        num_heads=settings.NUM_HEADS,
        dim_feedforward=settings.DIM_FEEDFORWARD,
        dropout=settings.DROPOUT,
    )


def _check_features(head: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> None:
    """Raises UserError for features that are missing, in another order, or not read."""
    check_pyramid(head, input_shape)
    if "head" in input_shape:
        raise UserError(  # distributed training stops at parameters without a gradient
            "MODEL.RESNETS.OUT_FEATURES asks for head, but ZSMaskFormerHead does not read it: "
            "take it out"
        )


def _check_sizes(settings: CfgNode) -> None:
    if settings.DIM % 4 or settings.DIM % settings.NUM_HEADS:
        raise UserError(
            f"MODEL.MASK_FORMER.DIM is {settings.DIM}, but has to be a multiple of 4 and of "
            f"MODEL.MASK_FORMER.NUM_HEADS {settings.NUM_HEADS}"
        )
