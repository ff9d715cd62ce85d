"""DeepLabV2's head in the space of the class vectors, after SPNet (Xian et al., CVPR 2019).

Shape letters: B images, E width of the class vectors, h x w feature map.
"""

from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn

from .aspp_sum import build_aspp_sum
from .pixel_head import PixelHead, Shapes


@SEM_SEG_HEADS_REGISTRY.register()
class SPNetHead(PixelHead):
    """A visual embedding per cell; a class score is its inner product with the class's vector."""

    @configurable
    def __init__(self, aspp: nn.Module):
        """`aspp`: backbone features -> (B,E,h,w)."""
        super().__init__()
        self.aspp = aspp

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Shapes, embed_dim: int) -> dict[str, Any]:
        return {"aspp": build_aspp_sum(cfg, input_shape, embed_dim)}

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Backbone features -> embeddings (B,E,h,w) float32 of any length."""
        return self.aspp(features).float()
