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

from .aspp_sum import build_aspp_sum
from .pixel_head import PixelHead, check_pixel_settings


@SEM_SEG_HEADS_REGISTRY.register()
class SPNetHead(PixelHead):
    """A visual embedding per cell; a class score is its inner product with the class's vector."""

    @configurable
    def __init__(self, aspp: nn.Module):
        """
        Args:
            aspp: backbone features -> (B,E,h,w).
        """
        super().__init__()
        self.aspp = aspp

    @classmethod
    def from_config(
        cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec], embed_dim: int
    ) -> dict[str, Any]:
        check_pixel_settings(cfg, input_shape)
        return {"aspp": build_aspp_sum(cfg.MODEL.SEM_SEG_HEAD, input_shape, embed_dim)}

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Backbone features -> embeddings (B,E,h,w) float32 of any length."""
        return self.aspp(features).float()

    def class_logits(self, embeddings: Tensor, text: Tensor) -> Tensor:
        """Embeddings (…,E,h,w), text (K,E) unit rows -> logits (…,K,h,w) float32."""
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            return torch.einsum("...ehw,ke->...khw", embeddings, text.float())
