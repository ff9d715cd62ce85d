"""An FCN with the text embeddings of the class names as fixed classifier weights.

It learns on seen classes and is used with any vocabulary, like SPNet (Xian et al., CVPR 2019).
Shape letters: B images, D feature width, E text embedding width, h x w feature map.
"""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn

from zsk.proposals.build_features import build_aspp_features

from .pixel_head import PixelHead, Shapes, check_pixel_settings


@SEM_SEG_HEADS_REGISTRY.register()
class TextFCNHead(PixelHead):
    """The feature map of the kernel generator, embedded per pixel and compared with texts."""

    loss_of_pixels = True  # small segments survive

    @configurable
    def __init__(self, feature_map: nn.Module, *, dim: int, embed_dim: int, temperature: float):
        """
        Args:
            feature_map: backbone features -> (B,D,h,w), `AsppFeatures`.
            temperature: tau, what the cosine is multiplied with.
        """
        super().__init__()
        self.feature_map = feature_map
        self.embedding = Conv2d(dim, embed_dim, 1)
        self.temperature = temperature

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Shapes, embed_dim: int) -> dict[str, Any]:
        head, key = cfg.MODEL.SEM_SEG_HEAD, "SEM_SEG_HEAD.CONVS_DIM"
        check_pixel_settings(cfg, input_shape)
        return {
            "feature_map": build_aspp_features(head, input_shape, head.CONVS_DIM, key),
            "dim": head.CONVS_DIM,
            "embed_dim": embed_dim,
            "temperature": head.TEMPERATURE,
        }

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Backbone features -> embeddings (B,E,h,w) float32, unit columns."""
        embedded = self.embedding(self.feature_map(features))
        return F.normalize(embedded.float(), dim=1)
