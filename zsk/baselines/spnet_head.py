"""DeepLabV2's head in the space of the class vectors, after SPNet (Xian et al., CVPR 2019).

Shape letters: B images, C backbone channels, K classes, E width of the class vectors, h x w
feature map, H x W image.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn

from zsk.proposals.build import check_settings

from .text_fcn_head import check_one_feature, labelled_cross_entropy

INIT_STD = 0.01


class AsppSum(nn.Module):
    """DeepLabV2's ASPP: the sum of dilated 3x3 convolutions, without norm and activation."""

    def __init__(self, channels: int, dim: int, dilations: Sequence[int]):
        super().__init__()
        self.branches = nn.ModuleList()
        for dilation in dilations:
            branch = Conv2d(channels, dim, 3, padding=dilation, dilation=dilation)
            nn.init.normal_(branch.weight, std=INIT_STD)
            nn.init.zeros_(branch.bias)
            self.branches.append(branch)

    def forward(self, features: Tensor) -> Tensor:
        """(B,C,h,w) -> (B,dim,h,w)."""
        return torch.stack([branch(features) for branch in self.branches]).sum(dim=0)


@SEM_SEG_HEADS_REGISTRY.register()
class SPNetHead(nn.Module):
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

    def losses(self, logits: Tensor, sem_seg: Tensor) -> dict[str, Tensor]:
        """Cross-entropy, the mean over the labelled cells.

        Args:
            logits: (B,K,h,w).
            sem_seg: (B,H,W) int64, ids below K or `ignore_label(K)`; a cell has the label in its
                middle.
        Returns:
            {"loss_sem_seg"}: 0, but in the graph, when nothing is labelled.
        """
        # float64 holds every id
        labels = F.interpolate(sem_seg[:, None].double(), logits.shape[-2:], mode="nearest-exact")
        return {"loss_sem_seg": labelled_cross_entropy(logits, labels[:, 0].long())}
