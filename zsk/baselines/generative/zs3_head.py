"""ZS3Net's head (Bucher et al., NeurIPS 2019): a classifier that learns from generated features.

Before iteration START features and classifier learn on photos. From then on the features stay as
they are, a generator learns to make them from class vectors, and the classifier learns on real ones
of seen classes and generated ones of all. Labels of unseen classes are a teacher's or, with
DATASETS.LEAK_UNSEEN_LAYOUT, the true ones: then generated features lie where they say.

Shape letters: B images, h x w feature map, D width of the features, K known classes, k of them in
the labels, E width of the class vectors.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from zsk.baselines.per_pixel.aspp_sum import build_aspp_sum
from zsk.baselines.per_pixel.known_classes import KnownClasses
from zsk.baselines.per_pixel.pixel_head import (
    PixelHead,
    Shapes,
    cell_labels,
    check_pixel_settings,
    no_gradient,
)
from zsk.proposals.build_features import build_aspp_features
from zsk.vocabulary import ignore_label

from .cell_generator import NO_CLASS, CellGenerator, drawn_layout
from .feature_generator import FeatureGenerator
from .graph_context import GraphGenerator

INIT_STD = 0.01  # of the classifier


class SquashedAspp(nn.Module):
    """DeepLabV2's ASPP through a sigmoid, as in CaGNet.

    The kernels of the generator's loss have the widths of such features, and see no difference
    between DeepLabV2's own, which lie much further apart.
    """

    def __init__(self, aspp: nn.Module):
        super().__init__()
        self.aspp = aspp

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Backbone features -> (B,D,h,w) float32 in [0,1]."""
        return self.aspp(features).float().sigmoid()


@SEM_SEG_HEADS_REGISTRY.register()
class ZS3Head(PixelHead):
    """Features of cells, and a linear classifier of the known classes on them."""

    learns_classifier = names_known_classes = True
    adam_parts = ("generator",)

    @configurable
    def __init__(
        self,
        feature_map: nn.Module,
        generator: CellGenerator | GraphGenerator,
        classes: KnownClasses,
        *,
        dim: int,
        start: int,
        unseen_factor: float,
        true_layout: bool = False,
    ):
        """
        Args:
            feature_map: backbone features -> (B,D,h,w).
            generator: of features as wide.
            start: iterations before the generator learns.
            unseen_factor: weight of an unseen class in the classifier's loss; that of a seen one
                is 1.
            true_layout: labels of unseen classes are true ones (a leak). Before `start` they are
                ignored. From then on an image with a cell of an unseen class has generated features
                in all labelled cells, and the others have real ones.
        """
        super().__init__()
        self.feature_map = feature_map
        self.generator = generator
        self.classes = classes
        self.classifier = nn.Linear(dim, len(classes))
        nn.init.normal_(self.classifier.weight, std=INIT_STD)
        nn.init.zeros_(self.classifier.bias)
        with torch.no_grad():  # a class that nothing was learned about scores 0
            self.classifier.weight[~classes.seen] = 0
        self.start = start
        self.unseen_factor = unseen_factor
        self.true_layout = true_layout

    @classmethod
    def from_config(
        cls, cfg: CfgNode, input_shape: Shapes, embed_dim: int, classes: KnownClasses
    ) -> dict[str, Any]:
        return {
            "feature_map": _build_feature_map(cfg, input_shape),
            "generator": _build_generator(cfg, embed_dim),
            "classes": classes,
            "dim": cfg.MODEL.SEM_SEG_HEAD.CONVS_DIM,
            "start": cfg.MODEL.SYNTHESIS.START,
            "unseen_factor": cfg.MODEL.SYNTHESIS.UNSEEN_FACTOR,
            "true_layout": cfg.DATASETS.LEAK_UNSEEN_LAYOUT,
        }

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Backbone features -> features (B,D,h,w) float32 of cells."""
        return self.feature_map(features).float()

    def class_logits(self, embeddings: Tensor, text: Tensor) -> Tensor:
        """Features (…,D,h,w), text (k,E) of known classes -> logits (…,k,h,w) float32.

        Raises:
            UserError: a class is not known.
        """
        columns = self.classes.columns(text)
        weight, bias = self.classifier.weight[columns], self.classifier.bias[columns]
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            return torch.einsum("...dhw,kd->...khw", embeddings, weight) + bias[:, None, None]

    def learns_features(self, text: Tensor) -> bool:
        """Until START, and always where a teacher's labels are of unseen classes."""
        labels_of_all = not self.classes.seen[self.classes.columns(text)].all()
        teacher = labels_of_all and not self.true_layout
        return teacher or get_event_storage().iter < self.start

    def losses(
        self,
        features: Sequence[Mapping[str, Tensor]],
        text: Tensor,
        sem_seg: Tensor,
        weights: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """As those of every head while the features learn; then those of the generator, too.

        Args:
            weights: of a teacher's labels, which are learned as in the first phase.
        """
        if self.learns_features(text):
            if self.true_layout:
                sem_seg, text = self.classes.without_unseen(sem_seg, text)
            losses = super().losses(features, text, sem_seg, weights)
            unused = no_gradient(self.generator.parameters())
            return {"loss_sem_seg": losses["loss_sem_seg"] + unused}
        self.feature_map.eval()  # statistics of norms stay, too
        by_scale = []
        for one in features:
            with torch.no_grad():
                cells = self(one)
            layout = self.classes.labels(cell_labels(sem_seg, cells.shape[-2:]), text)
            layout = layout.where(layout != ignore_label(len(self.classes)), NO_CLASS)
            with torch.autocast(device_type=cells.device.type, enabled=False):
                by_scale.append(self._losses_of_scale(cells, layout))
        losses = {name: torch.stack([one[name] for one in by_scale]).sum() for name in by_scale[0]}
        losses["loss_classifier"] = losses["loss_classifier"] + no_gradient(self.parameters())
        return losses

    def _losses_of_scale(self, cells: Tensor, layout: Tensor) -> dict[str, Tensor]:
        """Losses of generator and classifier on features (B,D,h,w) with a layout (B,h,w)."""
        # as long as the noise, which has this width, too: vectors of length 1 would hardly count
        vectors = self.classes.vectors * self.classes.vectors.shape[1] ** 0.5
        unseen = (layout != NO_CLASS) & ~self.classes.seen[layout]
        learned = layout.where(~unseen, NO_CLASS)
        losses = self.generator.losses(cells, learned, vectors, self._frozen_logits)
        if self.true_layout:
            leaked = unseen.flatten(1).any(dim=1)[:, None, None]
            real, filled = layout.where(~leaked, NO_CLASS), layout.where(leaked, NO_CLASS)
        else:
            real, filled = layout, drawn_layout(layout, len(self.classes))
        with torch.no_grad():
            generated = self.generator.fill(filled, vectors)
        examples = torch.cat([cells.permute(0, 2, 3, 1)[real != NO_CLASS], generated])
        classes = torch.cat([real[real != NO_CLASS], filled[filled != NO_CLASS]])
        weights = torch.where(self.classes.seen[classes], 1.0, self.unseen_factor)
        each = F.cross_entropy(self.classifier(examples), classes, reduction="none")
        # 0 where no cell has a label
        loss = (weights * each).sum() / weights.sum().clamp(min=1)
        return {**losses, "loss_classifier": loss}

    def _frozen_logits(self, examples: Tensor) -> Tensor:
        """Features (N,D) -> logits (N,K) that the classifier does not learn from."""
        return F.linear(examples, self.classifier.weight.detach(), self.classifier.bias.detach())


def _build_feature_map(cfg: CfgNode, input_shape: Shapes) -> nn.Module:
    """DeepLabV3+'s ASPP and decoder with a FINE_FEATURE, without one DeepLabV2's sum."""
    head, key = cfg.MODEL.SEM_SEG_HEAD, "SEM_SEG_HEAD.CONVS_DIM"
    if head.FINE_FEATURE:
        check_pixel_settings(cfg, input_shape)
        return build_aspp_features(head, input_shape, head.CONVS_DIM, key)
    return SquashedAspp(build_aspp_sum(cfg, input_shape, head.CONVS_DIM))


def _build_generator(cfg: CfgNode, embed_dim: int) -> CellGenerator | GraphGenerator:
    """The noise is as wide as the class vectors."""
    head, synthesis = cfg.MODEL.SEM_SEG_HEAD, cfg.MODEL.SYNTHESIS
    hidden, dropout = synthesis.HIDDEN_DIMS, synthesis.DROPOUT
    squash = not head.FINE_FEATURE
    shape = (embed_dim, embed_dim, hidden, head.CONVS_DIM, dropout, squash)
    if synthesis.GRAPH:
        return GraphGenerator(*shape)
    return CellGenerator(FeatureGenerator(*shape), synthesis.SAMPLES)
