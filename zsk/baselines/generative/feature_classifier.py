"""CaGNet's discriminator and classifier of features, which share their first layer.

Shape letters: D width of the features, K classes.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn


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
