"""A model that was trained elsewhere and only answers here."""

from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

from zsk.engine.checkpoint import load_weights
from zsk.engine.network_settings import check_network_settings
from zsk.zsk_net import ZSKNet


def load_trained(cfg: CfgNode) -> tuple[nn.Module, dict[str, Any]]:
    """The model of MODEL.WEIGHTS in evaluation mode, and the settings of its training.

    Raises:
        UserError: see `load_weights` and `check_network_settings`.
    """
    model = build_model(cfg).eval()
    settings = load_weights(model, cfg.MODEL.WEIGHTS)
    check_network_settings(cfg, settings, model)
    if isinstance(model, ZSKNet):
        model.cast_backbone()
    return model, settings
