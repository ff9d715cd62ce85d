"""JoEm's head: features and class vectors meet in one space (Baek et al., ICCV 2021).

Shape letters: B images, C backbone channels, D features, K classes, S seen classes, E width of the
class vectors, h x w feature map, H x W image.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn

from zsk.proposals.masks import resize_masks
from zsk.vocabulary import ignore_label

from .aspp_sum import build_aspp_sum
from .known_classes import KnownClasses
from .pixel_head import PixelHead, Shapes, cell_labels, with_maximum

BOUNDARY_RATIO = 0.5  # of the label map from which soft prototypes are enlarged
WORD_SHARPNESS = 5.0  # of distances between class vectors; those of prototypes have 1
CONSISTENCY_WEIGHT = 0.1


@SEM_SEG_HEADS_REGISTRY.register()
class JoEmHead(PixelHead):
    """A class is a prototype made from its vector; a cell has the class of the nearest one."""

    learns_classifier = loss_of_pixels = True
    adam_parts = ("generator",)

    @configurable
    def __init__(self, aspp: nn.Module, generator: nn.Module, known: KnownClasses, *, dim: int):
        """
        Args:
            aspp: backbone features -> (B,D,h,w).
            generator: class vectors (K,E) -> prototypes (K,D), the paper's semantic encoder.
            known: the classes of the training; only training has a classifier of them.
        """
        super().__init__()
        self.aspp = aspp
        self.generator = generator
        self.known = known
        self.classifier = nn.Conv2d(dim, len(known), 1)

    @classmethod
    def from_config(
        cls, cfg: CfgNode, input_shape: Shapes, embed_dim: int, known: KnownClasses
    ) -> dict[str, Any]:
        dim = cfg.MODEL.SEM_SEG_HEAD.CONVS_DIM
        aspp = build_aspp_sum(cfg, input_shape, dim)
        generator = nn.Linear(embed_dim, dim)
        nn.init.xavier_uniform_(generator.weight)
        nn.init.constant_(generator.bias, 0.01)
        return {"aspp": aspp, "generator": generator, "known": known, "dim": dim}

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Backbone features -> (B,D,h,w) float32 of 0 or more."""
        return self.aspp(features).float().relu()

    def class_logits(self, embeddings: Tensor, text: Tensor) -> Tensor:
        """Features (…,D,h,w), class vectors (K,E) -> minus squared distances (…,K,h,w)."""
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            prototypes = self.generator(text.float())
            products = torch.einsum("...dhw,kd->...khw", embeddings, prototypes)
            lengths = prototypes.square().sum(dim=1)[:, None, None]
            return 2 * products - lengths - embeddings.square().sum(dim=-3, keepdim=True)

    def losses(
        self,
        features: Sequence[Mapping[str, Tensor]],
        text: Tensor,
        sem_seg: Tensor,
        weights: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Cross-entropy of the classifier, boundary-aware regression, semantic consistency."""
        maps = [self(one) for one in features]
        columns = self.known.columns(text)
        logits = with_maximum([self.classifier(one)[:, columns] for one in maps])
        entropies = [self.map_loss(one, sem_seg, weights) for one in logits]
        with torch.autocast(device_type=text.device.type, enabled=False):
            prototypes = self.generator(text.float())
            regressions = [boundary_aware_regression(one, prototypes, sem_seg) for one in maps]
            consistency = semantic_consistency(text.float(), prototypes)
        return {
            "loss_sem_seg": torch.stack(entropies).sum(),
            "loss_boundary": torch.stack(regressions).sum(),
            "loss_consistency": CONSISTENCY_WEIGHT * consistency,
        }


def boundary_aware_regression(features: Tensor, prototypes: Tensor, sem_seg: Tensor) -> Tensor:
    """The mean squared distance of labelled cells to prototypes that mix at boundaries.

    The labels are reduced by BOUNDARY_RATIO, replaced by prototypes and enlarged again, so a cell
    near a boundary learns a mixture of the classes at its sides. Unlabelled places have no share
    in a mixture.

    Args:
        features: (B,D,h,w).
        prototypes: (K,D).
        sem_seg: (B,H,W) int64, ids below K or `ignore_label(K)`.
    Returns:
        the mean over the cells' D channels; 0, but in the graph, when nothing is labelled.
    """
    size, ignore = features.shape[-2:], ignore_label(len(prototypes))
    small = [max(1, round(side * BOUNDARY_RATIO)) for side in size]
    labels = cell_labels(sem_seg, small)
    known = labels != ignore
    one_hot = F.one_hot(labels.where(known, 0), len(prototypes)).permute(0, 3, 1, 2)
    shares = resize_masks((one_hot * known[:, None]).float(), size)  # (B,K,h,w)
    total = shares.sum(dim=1, keepdim=True)
    mixed = torch.einsum("bkhw,kd->bdhw", shares / total.clamp(min=1e-6), prototypes)
    labelled = cell_labels(sem_seg, size) != ignore
    valid = labelled[:, None] & (total > 0)
    squared = (features - mixed).square().mean(dim=1, keepdim=True)
    return (squared * valid).sum() / valid.sum().clamp(min=1)


def semantic_consistency(vectors: Tensor, prototypes: Tensor) -> Tensor:
    """Vectors (S,E), prototypes (S,D) -> mean KL divergence of a class's neighbours by both."""
    words = -WORD_SHARPNESS * torch.cdist(vectors, vectors)
    made = -torch.cdist(prototypes, prototypes)
    target = words.softmax(dim=1)
    return F.kl_div(made.log_softmax(dim=1), target, reduction="batchmean")
