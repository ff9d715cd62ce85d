"""An FCN whose classifier weights are the text embeddings of the class names, and not learned.

It learns on the seen classes and is used on any vocabulary, as SPNet (Xian et al., CVPR 2019) is.
Shape letters: B images, D feature width, K classes, E text embedding width, h x w feature map,
H x W image.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor

from zsk.errors import UserError
from zsk.proposals.aspp_features import AsppFeatures
from zsk.proposals.build import check_settings
from zsk.proposals.masks import resize_masks
from zsk.vocabulary import IGNORE_LABEL


@SEM_SEG_HEADS_REGISTRY.register()
class TextFCNHead(AsppFeatures):
    """The feature map that the kernel generator has, embedded per pixel and compared with texts."""

    @configurable
    def __init__(
        self,
        input_shape: Mapping[str, ShapeSpec],
        *,
        in_feature: str,
        fine_feature: str,
        aspp_dilations: list[int],
        aspp_channels: int,
        dim: int,
        norm: str,
        embed_dim: int,
        temperature: float,
    ):
        """
        Args:
            embed_dim: E.
            temperature: tau, what the cosine is multiplied with.
            others: as in `AsppFeatures`.
        """
        super().__init__(
            input_shape,
            in_feature=in_feature,
            fine_feature=fine_feature,
            aspp_dilations=aspp_dilations,
            aspp_channels=aspp_channels,
            dim=dim,
            norm=norm,
        )
        self.embedding = Conv2d(dim, embed_dim, 1)
        self.temperature = temperature

    @classmethod
    def from_config(
        cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec], embed_dim: int
    ) -> dict[str, Any]:
        head = cfg.MODEL.SEM_SEG_HEAD
        if not head.IN_FEATURES:
            raise UserError(
                "MODEL.SEM_SEG_HEAD.IN_FEATURES is empty: name the backbone feature that "
                "TextFCNHead's ASPP reads"
            )
        check_settings(cfg, input_shape)
        return {
            "input_shape": input_shape,
            "in_feature": head.IN_FEATURES[0],
            "fine_feature": head.FINE_FEATURE,
            "aspp_dilations": head.ASPP_DILATIONS,
            "aspp_channels": head.ASPP_CHANNELS,
            "dim": head.CONVS_DIM,
            "norm": head.NORM,
            "embed_dim": embed_dim,
            "temperature": head.TEMPERATURE,
        }

    def forward(self, features: Mapping[str, Tensor], text: Tensor) -> Tensor:
        """Backbone features and text (K,E), unit rows -> logits (B,K,h,w) float32."""
        embedded = self.embedding(self.feature_map(features))
        with torch.autocast(device_type=embedded.device.type, enabled=False):
            embedded = F.normalize(embedded.float(), dim=1)
            return self.temperature * torch.einsum("behw,ke->bkhw", embedded, text.float())

    def losses(self, logits: Tensor, sem_seg: Tensor) -> dict[str, Tensor]:
        """Cross-entropy, the mean over the labelled pixels.

        Args:
            logits: (B,K,h,w), resized to the labels: small things survive there.
            sem_seg: (B,H,W) int64, ids below K or 255.
        Returns:
            {"loss_sem_seg"}: 0, but in the graph, when nothing is labelled.
        """
        with torch.autocast(device_type=logits.device.type, enabled=False):
            logits = resize_masks(logits.float(), sem_seg.shape[-2:])
            total = F.cross_entropy(logits, sem_seg, ignore_index=IGNORE_LABEL, reduction="sum")
        return {"loss_sem_seg": total / (sem_seg != IGNORE_LABEL).sum().clamp(min=1)}
