"""ZSMaskFormerHead's parts as a configuration asks for them: what its from_config calls."""

from collections.abc import Mapping

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec

from zsk.errors import UserError

from .build import check_norm
from .pixel_decoder import PixelDecoder
from .transformer_decoder import TransformerDecoder

NORM_GROUPS = 32  # of Detectron2's GN


def check_query_settings(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> None:
    """Raises UserError for features that do not suit the pyramid and for values out of range."""
    head = cfg.MODEL.SEM_SEG_HEAD
    _check_features(list(head.IN_FEATURES), input_shape)
    if head.CLASS_FEATURES:
        raise UserError(
            f"MODEL.SEM_SEG_HEAD.CLASS_FEATURES is {list(head.CLASS_FEATURES)}, but "
            "ZSMaskFormerHead scores its queries: set it to []"
        )
    _check_sizes(cfg.MODEL.MASK_FORMER)
    check_norm(head.NORM)
    if head.NORM == "GN" and cfg.MODEL.MASK_FORMER.CONV_DIM % NORM_GROUPS:
        raise UserError(
            f"MODEL.MASK_FORMER.CONV_DIM is {cfg.MODEL.MASK_FORMER.CONV_DIM}, but has to be a "
            f"multiple of {NORM_GROUPS} with MODEL.SEM_SEG_HEAD.NORM GN"
        )


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


def _check_features(names: list[str], input_shape: Mapping[str, ShapeSpec]) -> None:
    """All there, finest first, and none that nothing reads."""
    key = f"MODEL.SEM_SEG_HEAD.IN_FEATURES is {names}"
    if not names:
        raise UserError(f"{key}: name the backbone features, such as [res2, res3, res4, res5]")
    missing = [name for name in names if name not in input_shape]
    if missing:
        raise UserError(
            f"{key}, but the backbone gives {', '.join(input_shape)}: add {', '.join(missing)} to "
            "MODEL.RESNETS.OUT_FEATURES"
        )
    strides = [int(input_shape[name].stride or 1) for name in names]
    if strides != sorted(strides):
        raise UserError(f"{key}, of strides {strides}: put the finest first, the coarsest last")
    if "head" in input_shape:
        raise UserError(  # trained for nothing, and distributed training would stop at it
            "MODEL.RESNETS.OUT_FEATURES asks for head, but ZSMaskFormerHead does not read it: "
            "take it out"
        )


def _check_sizes(settings: CfgNode) -> None:
    for key in ("NUM_QUERIES", "NUM_LAYERS", "NUM_HEADS"):
        if settings[key] < 1:
            raise UserError(f"MODEL.MASK_FORMER.{key} is {settings[key]}, but has to be at least 1")
    if settings.DIM < 1 or settings.DIM % 4 or settings.DIM % settings.NUM_HEADS:
        raise UserError(
            f"MODEL.MASK_FORMER.DIM is {settings.DIM}, but has to be a multiple of 4 and of "
            f"MODEL.MASK_FORMER.NUM_HEADS {settings.NUM_HEADS}"
        )
    if not 0 <= settings.DROPOUT < 1:
        raise UserError(f"MODEL.MASK_FORMER.DROPOUT is {settings.DROPOUT}, but has to be in [0, 1)")
