"""CaGNet (Gu et al., ACM MM 2020) and, with a positional module, SIGN (Cheng et al., ICCV 2021).

A generator makes features of a class from its vector and a latent of the surroundings; a classifier
learns unseen classes from generated features. Shape letters: B images, D width of the features,
K classes, E width of the class vectors, h x w feature map, H x W image.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from detectron2.utils.events import get_event_storage
from torch import Tensor

from zsk.baselines.per_pixel.aspp_sum import AsppSum, build_aspp_sum
from zsk.baselines.per_pixel.known_classes import KnownClasses
from zsk.baselines.per_pixel.pixel_head import (
    PixelHead,
    Shapes,
    cell_labels,
    labelled_cross_entropy,
    no_gradient,
    with_maximum,
)
from zsk.errors import UserError
from zsk.vocabulary import ignore_label

from .context_module import Context, ContextModule
from .feature_classifier import FeatureClassifier, adversarial_losses, mean
from .feature_generator import FeatureGenerator
from .position_module import PositionModule

# weights of published code
KL_WEIGHT = 100.0
CLASSIFIER_WEIGHT = 0.75  # of the classes of real features, for the classifier ...
TRUNK_WEIGHT = 0.5  # ... and for what makes them


@SEM_SEG_HEADS_REGISTRY.register()
class CaGNetHead(PixelHead):
    """Features in [0,1] of every cell, and a classifier that learned from generated ones as well.

    Before iteration `start` all parts learn from photos. From then on the trunk (the backbone,
    ASPP, the positional and the contextual module) is frozen, and in turns of `period` iterations
    generator and classifier learn from photos, then the classifier from generated features of all
    classes.
    """

    learns_classifier = names_known_classes = True
    adam_parts = ("generator", "classifier")
    rate_factors = {"context": 0.5, "position": 0.5}

    @configurable
    def __init__(
        self,
        aspp: AsppSum,
        context: ContextModule,
        generator: FeatureGenerator,
        classifier: FeatureClassifier,
        classes: KnownClasses,
        position: PositionModule | None = None,
        *,
        start: int,
        period: int,
        samples: int,
        unseen_factor: float,
        generated_weight: float,
    ):
        """
        Args:
            aspp: backbone features -> (B,D,h,w).
            position: SIGN's.
            start, period: iterations.
            samples: cells of a class whose features are compared with generated ones.
            unseen_factor: how much likelier an unseen class is generated than a seen one.
            generated_weight: of the classifier's loss in a turn of generated features.
        """
        super().__init__()
        self.aspp, self.position, self.context = aspp, position, context
        self.generator, self.classifier, self.classes = generator, classifier, classes
        self.start, self.period, self.samples = start, period, samples
        self.unseen_factor, self.generated_weight = unseen_factor, generated_weight

    @classmethod
    def from_config(
        cls, cfg: CfgNode, input_shape: Shapes, embed_dim: int, classes: KnownClasses
    ) -> dict[str, Any]:
        synthesis, dim = cfg.MODEL.SYNTHESIS, cfg.MODEL.SEM_SEG_HEAD.CONVS_DIM
        width, hidden, dropout = synthesis.CONTEXT_DIM, synthesis.HIDDEN_DIMS, synthesis.DROPOUT
        if synthesis.POSITION and dim % 4:
            raise UserError(
                f"MODEL.SEM_SEG_HEAD.CONVS_DIM is {dim}, but has to be a multiple of 4 for "
                "MODEL.SYNTHESIS.POSITION"
            )
        return {
            "aspp": build_aspp_sum(cfg, input_shape, dim),
            "context": ContextModule(dim, width),
            "generator": FeatureGenerator(embed_dim, dim, hidden, dim, dropout, squash=True),
            "classifier": FeatureClassifier(dim, len(classes)),
            "classes": classes,
            "position": PositionModule(dim, width) if synthesis.POSITION else None,
            "start": synthesis.START,
            "period": synthesis.PERIOD,
            "samples": synthesis.SAMPLES,
            "unseen_factor": synthesis.UNSEEN_FACTOR,
            "generated_weight": synthesis.GENERATED_WEIGHT,
        }

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Backbone features -> features (B,D,h,w) float32 in [0,1]."""
        return self._look(features)[0]

    def _look(self, features: Mapping[str, Tensor]) -> tuple[Tensor, Context]:
        maps = self.aspp(features)
        if self.position is not None:
            maps = self.position(maps)
        context = self.context(maps.sigmoid())
        return (maps + maps * context.latent.sigmoid()).float().sigmoid(), context

    def class_logits(self, embeddings: Tensor, text: Tensor) -> Tensor:
        """Features (…,D,h,w), text (K',E) of some of the classes -> logits (…,K',h,w) float32."""
        return self._all_logits(embeddings).index_select(-3, self.classes.columns(text))

    def _all_logits(self, maps: Tensor) -> Tensor:
        """(…,D,h,w) -> (…,K,h,w)."""
        return self.classifier(maps.movedim(-3, -1)).classes.movedim(-1, -3)

    def learns_features(self, text: Tensor) -> bool:
        """Until iteration `start`."""
        return get_event_storage().iter < self.start

    def losses(
        self,
        features: Sequence[Mapping[str, Tensor]],
        text: Tensor,
        sem_seg: Tensor,
        weights: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Those of this iteration's turn, see the class; weights: for classes of real features."""
        since_start = get_event_storage().iter - self.start
        if since_start >= 0 and since_start // self.period % 2:
            cells = max(one[self.aspp.in_feature][:, 0].numel() for one in features)
            loss = self.generated_weight * self._loss_of_generated(cells)
            return {"loss_generated": loss + no_gradient(self.parameters())}
        labels = self.classes.labels(sem_seg, text)
        return self._losses_of_photos(features, labels, weights, frozen=since_start >= 0)

    def _loss_of_generated(self, cells: int) -> Tensor:
        """Cross-entropy of so many generated features of classes drawn from a prior."""
        prior = torch.where(self.classes.seen, 1.0, self.unseen_factor)
        labels = torch.multinomial(prior, cells, replacement=True)
        vectors = self.classes.vectors[labels]
        noise = torch.randn(cells, self.generator.noise_dim, device=vectors.device)
        with torch.no_grad():
            made = self.generator(vectors, noise)
        return labelled_cross_entropy(self.classifier(made).classes, labels)

    def _losses_of_photos(
        self,
        features: Sequence[Mapping[str, Tensor]],
        sem_seg: Tensor,
        weights: Tensor | None,
        frozen: bool,
    ) -> dict[str, Tensor]:
        """As `losses`, but sem_seg has ids of all known classes or `ignore_label(K)`."""
        looks = [self._look(one) for one in features]
        share = 0.0 if frozen else TRUNK_WEIGHT / CLASSIFIER_WEIGHT
        maps = [self._all_logits(torch.lerp(x.detach(), x, share)) for x, _ in looks]
        losses = [self.map_loss(one, sem_seg, weights) for one in with_maximum(maps)]
        found = {"loss_class": CLASSIFIER_WEIGHT * torch.stack(losses).mean()}
        # all but the classes of real features: on the largest map alone
        x, context = max(looks, key=lambda look: look[0].shape[-1])
        labels = cell_labels(sem_seg, x.shape[-2:])
        labelled = labels != ignore_label(len(self.classes))
        if not frozen:
            divergence = context.divergence().mean(dim=1)[labelled]
            found["loss_kl"] = KL_WEIGHT * mean(divergence)
        real, latent = (one.detach().movedim(1, -1)[labelled] for one in (x, context.latent))
        labels = labels[labelled]
        inputs = (self.classes.vectors[labels], latent)
        parts = (self.generator, self.classifier)
        return {**found, **adversarial_losses(*parts, real, inputs, labels, self.samples)}
