"""CaGNet's discriminator and classifier of features, and their losses of generated ones.

Shape letters: M cells, D width of the features, K classes, E width of the class vectors.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from zsk.baselines.per_pixel.pixel_head import labelled_cross_entropy

from .feature_generator import mmd

CLASS_WEIGHT = 0.25  # of the classes of generated features
MMD_WEIGHT = 50.0
BANDWIDTHS = (2, 5, 10, 20, 40, 60)


class Judgement(NamedTuple):
    """What the classifier makes of features, as logits in float32."""

    classes: Tensor  # (...,K)
    real: Tensor  # (...), over 0 where the feature is taken for one of a photo


class FeatureClassifier(nn.Module):
    """Features (...,D) -> their classes, and whether they are real or generated."""

    def __init__(self, dim: int, num_classes: int, width: int = 1024, dropout: float = 0.5):
        super().__init__()
        self.shared = nn.Linear(dim, width)
        self.dropout = nn.Dropout(dropout)
        self.classes = nn.Linear(width, num_classes)
        self.real = nn.Linear(width, 1)

    def forward(self, features: Tensor) -> Judgement:
        hidden = self.dropout(F.relu(self.shared(features)))
        return Judgement(self.classes(hidden).float(), self.real(hidden).squeeze(-1).float())


def adversarial_losses(
    generator: nn.Module,
    classifier: FeatureClassifier,
    real: Tensor,
    inputs: tuple[Tensor, Tensor],
    labels: Tensor,
    samples: int,
) -> dict[str, Tensor]:
    """Of the classifier "loss_discriminator" and "loss_class_generated", else of the generator.

    Args:
        real: (M,D), without a gradient.
        inputs: of the generator, for the same cells: class vectors (M,E) and latents (M,D).
        labels: (M,) int64.
        samples: cells of a class, at most, whose features are compared.
    """
    made = generator(*inputs)
    judged_real, judged_made = classifier(real), classifier(made.detach())
    fixed = {name: value.detach() for name, value in classifier.named_parameters()}
    judged_by_fixed = functional_call(classifier, fixed, (made,))
    # published code calls it least squares, but takes absolute differences
    found_out = mean(1 - judged_real.real.sigmoid()) + mean(judged_made.real.sigmoid())
    classes = labelled_cross_entropy(judged_made.classes, labels)
    return {
        "loss_discriminator": found_out,
        "loss_class_generated": CLASS_WEIGHT * classes,
        "loss_generator": mean(1 - judged_by_fixed.real.sigmoid()),
        "loss_mmd": MMD_WEIGHT * distance_by_class(real, made, labels, samples),
    }


def distance_by_class(real: Tensor, made: Tensor, labels: Tensor, samples: int) -> Tensor:
    """The MMD of up to `samples` cells of each class, drawn anew; the mean over the classes."""
    found = [mean(made[:0].flatten())]  # in the graph where nothing is labelled
    for label in labels.unique():
        cells = (labels == label).nonzero()[:, 0]
        cells = cells[torch.randperm(len(cells), device=cells.device)[:samples]]
        found.append(mmd(real[cells], made[cells], BANDWIDTHS))
    return torch.stack(found).sum() / max(1, len(found) - 1)


def mean(values: Tensor) -> Tensor:
    """Of values (M,); 0, but in the graph, where there are none."""
    return values.sum() / max(1, len(values))
