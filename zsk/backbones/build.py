"""Builds the backbone; Detectron2's builders explain little of what they refuse."""

from detectron2 import modeling
from detectron2.config import CfgNode
from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn

from zsk.errors import UserError


def build_backbone(cfg: CfgNode) -> Backbone:
    """The backbone that MODEL.BACKBONE.NAME stands for; its input is RGB.

    Raises:
        UserError: its keys have values that do not go together, or it takes photos of some sizes
            alone.
    """
    try:
        backbone = modeling.build_backbone(cfg)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"MODEL.BACKBONE.NAME {cfg.MODEL.BACKBONE.NAME} cannot be built from its keys "
            f"(MODEL.RESNETS, MODEL.TIMM, MODEL.CLIP): {type(error).__name__} {error}"
        ) from error
    if backbone.size_divisibility > 1:
        raise UserError(
            f"MODEL.BACKBONE.NAME {cfg.MODEL.BACKBONE.NAME} takes only photos whose sides are "
            f"multiples of {backbone.size_divisibility}, but photos have any: choose another"
        )
    if cfg.MODEL.PIXEL_ORDER == "BGR":
        backbone.register_forward_pre_hook(_channels_reversed)
    return backbone


def _channels_reversed(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
    return (inputs[0].flip(1),)
