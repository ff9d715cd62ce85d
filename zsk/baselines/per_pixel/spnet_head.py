"""DeepLabV2's head in the space of the class vectors, after SPNet (Xian et al., CVPR 2019).

Shape letters: B images, C backbone channels, K classes, E width of the class vectors, h x w
feature map.
"""

from collections.abc import Mapping
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn

from zsk.proposals.build import check_settings

from .aspp_sum import AsppSum
from .pixel_head import (
    PixelHead,
    check_one_feature,
)


@SEM_SEG_HEADS_REGISTRY.register()
class SPNetHead(PixelHead):
    """A visual embedding per cell; a class score is its inner product with the class's vector."""

    @configurable
    def __init__(self, aspp: nn.Module, *, in_feature: str):
        """
        Args:
            aspp: the backbone's `in_feature` -> (B,E,h,w).
        """
        super().__init__()
        self.aspp = aspp
        self.in_feature = in_feature

    @classmethod
    def from_config(
        cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec], embed_dim: int
    ) -> dict[str, Any]:
        head = cfg.MODEL.SEM_SEG_HEAD
        check_one_feature(head)
        check_settings(cfg, input_shape)
        name = head.IN_FEATURES[0]
        channels = int(input_shape[name].channels or 0)
        return {"aspp": AsppSum(channels, embed_dim, head.ASPP_DILATIONS), "in_feature": name}

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Backbone features -> embeddings (B,E,h,w) float32 of any length."""
        return self.aspp(features[self.in_feature]).float()

    def class_logits(self, embeddings: Tensor, text: Tensor) -> Tensor:
        """Embeddings (…,E,h,w), text (K,E) unit rows -> logits (…,K,h,w) float32."""
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            return torch.einsum("...ehw,ke->...khw", embeddings, text.float())
