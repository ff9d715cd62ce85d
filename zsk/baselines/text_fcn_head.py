"""An FCN with the text embeddings of the class names as fixed classifier weights.

It learns on seen classes and is used with any vocabulary, like SPNet (Xian et al., CVPR 2019).
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
from torch import Tensor, nn

from zsk.errors import UserError
from zsk.proposals.build import check_settings
from zsk.proposals.build_features import build_aspp_features, check_norm_width
from zsk.proposals.masks import resize_masks
from zsk.vocabulary import ignore_label


@SEM_SEG_HEADS_REGISTRY.register()
class TextFCNHead(nn.Module):
    """The feature map of the kernel generator, embedded per pixel and compared with texts."""

    @configurable
    def __init__(self, feature_map: nn.Module, *, dim: int, embed_dim: int, temperature: float):
        """
        Args:
            feature_map: backbone features -> (B,D,h,w), `AsppFeatures`.
            dim: D.
            embed_dim: E.
            temperature: tau, what the cosine is multiplied with.
        """
        super().__init__()
        self.feature_map = feature_map
        self.embedding = Conv2d(dim, embed_dim, 1)
        self.temperature = temperature

    @classmethod
    def from_config(
        cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec], embed_dim: int
    ) -> dict[str, Any]:
        head = cfg.MODEL.SEM_SEG_HEAD
        check_one_feature(head)
        check_settings(cfg, input_shape)
        check_norm_width(head.NORM, "SEM_SEG_HEAD.CONVS_DIM", head.CONVS_DIM)
        return {
            "feature_map": build_aspp_features(head, input_shape, head.CONVS_DIM),
            "dim": head.CONVS_DIM,
            "embed_dim": embed_dim,
            "temperature": head.TEMPERATURE,
        }

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Backbone features -> embeddings (B,E,h,w) float32, unit columns."""
        embedded = self.embedding(self.feature_map(features))
        return F.normalize(embedded.float(), dim=1)

    def class_logits(self, embeddings: Tensor, text: Tensor) -> Tensor:
        """Embeddings (…,E,h,w), text (K,E) unit rows -> logits (…,K,h,w) float32."""
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            return self.temperature * torch.einsum("...ehw,ke->...khw", embeddings, text.float())

    def losses(self, logits: Tensor, sem_seg: Tensor) -> dict[str, Tensor]:
        """Cross-entropy, the mean over the labelled pixels.

        Args:
            logits: (B,K,h,w), resized to the labels, where small segments survive.
            sem_seg: (B,H,W) int64, ids below K or `ignore_label(K)`.
        Returns:
            {"loss_sem_seg"}: 0, but in the graph, when nothing is labelled.
        """
        with torch.autocast(device_type=logits.device.type, enabled=False):
            logits = resize_masks(logits.float(), sem_seg.shape[-2:])
        return {"loss_sem_seg": labelled_cross_entropy(logits, sem_seg)}


def labelled_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean over the labelled places, in float32; 0, but in the graph, where there are none.

    Args:
        logits: (B,K,h,w).
        labels: (B,h,w) int64, ids below K or `ignore_label(K)`.
    """
    ignore = ignore_label(logits.shape[1])
    with torch.autocast(device_type=logits.device.type, enabled=False):
        total = F.cross_entropy(logits.float(), labels, ignore_index=ignore, reduction="sum")
    return total / (labels != ignore).sum().clamp(min=1)


def check_one_feature(head: CfgNode) -> None:
    """Raises UserError unless MODEL.SEM_SEG_HEAD names one backbone feature."""
    if len(head.IN_FEATURES) != 1:
        raise UserError(
            f"MODEL.SEM_SEG_HEAD.IN_FEATURES is {list(head.IN_FEATURES)}: name the one "
            f"backbone feature that the ASPP of {head.NAME} reads"
        )
