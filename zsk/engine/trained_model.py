"""A model that was trained elsewhere and only answers here."""

from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

from zsk.engine.checkpoint import load_weights
from zsk.engine.network_settings import check_network_settings
from zsk.errors import UserError
from zsk.protocol import INDUCTIVE, noted_protocol


def load_trained(cfg: CfgNode, *, teacher: bool = False) -> tuple[nn.Module, dict[str, Any]]:
    """The model of MODEL.WEIGHTS in evaluation mode, and the settings of its training.

    Args:
        teacher: it labels for the self-training that `cfg` describes, whose result has none of
            these weights.

    Raises:
        UserError: see `load_weights` and `check_network_settings`; or the weights are those of a
            teacher, where the configuration stands for what learned from it.
    """
    model = build_model(cfg).eval()
    settings = load_weights(model, cfg.MODEL.WEIGHTS)
    check_network_settings(cfg, settings, model)
    noted = noted_protocol(settings) if settings and not teacher else None
    if cfg.SELF_TRAINING.ENABLED and noted == INDUCTIVE:
        raise UserError(
            f"MODEL.WEIGHTS {cfg.MODEL.WEIGHTS} did not learn by self-training: it is the teacher "
            f"of this configuration; give the result of its training, such as {cfg.OUTPUT_DIR}/"
            "model_final.pth"
        )
    return model, settings
