"""Class scores of the proposal head: embeddings against the text embeddings (section 2).

Shape letters: B images, D kernel width, N kernels, C pooled channels, K classes, E embedding width,
h x w masks.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from detectron2.layers import NaiveSyncBatchNorm
from torch import Tensor, nn

from zsk.errors import UserError

from .masks import region_means


def mlp(dim: int, hidden_dims: Sequence[int], out_dim: int) -> nn.Module:
    """Linear layers with ReLU between them: (…,`dim`) -> (…,`out_dim`)."""
    layers: list[nn.Module] = []
    for width, next_width in pairwise([dim, *hidden_dims, out_dim]):
        layers += [nn.Linear(width, next_width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


def region_embedding(channels: int, embed_dim: int, dropout: float) -> nn.Module:
    """A linear map of standardised features (M,C) to the text space (M,E).

    The map is linear because a deeper one overfits a few photos.
    """
    return nn.Sequential(
        nn.Unflatten(1, (channels, 1, 1)),
        # statistics over all processes, so that every process keeps the same model
        NaiveSyncBatchNorm(channels),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(channels, embed_dim),
    )


class TextAlignedScores(nn.Module):
    """Embeddings of proposals, and their cosine with text embeddings as class logits.

    The text embeddings are an argument, so the head learns on seen classes and is used with any
    vocabulary.
    """

    def __init__(self, embedding: nn.Module, embed_dim: int, temperature: float):
        """
        Args:
            embedding: rows -> (B*N,E), `mlp` or `region_embedding`.
            temperature: tau, the factor on the cosine (100 in the method).
        """
        super().__init__()
        self.temperature = temperature
        self.embedding = embedding
        self.no_object = nn.Parameter(torch.empty(1, embed_dim))
        # of length 1, as in the published ZS-MaskFormer: AdamW's steps do not grow with a
        # parameter, so a longer vector would turn more slowly
        nn.init.normal_(self.no_object, std=embed_dim**-0.5)

    def embed(self, vectors: Tensor) -> Tensor:
        """Kernels (B,N,D) or pooled features (B,N,C) -> (B,N,E) float32 unit rows."""
        with torch.autocast(device_type=vectors.device.type, enabled=False):
            rows = self.embedding(vectors.float().flatten(0, 1))
            return F.normalize(rows, dim=-1).unflatten(0, vectors.shape[:2])

    def forward(self, embeddings: Tensor, text: Tensor) -> Tensor:
        """Embeddings (…,N,E), text (K,E) unit rows -> logits (…,N,K+1) float32, no-object last."""
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            no_object = F.normalize(self.no_object, dim=-1)
            return self.temperature * embeddings @ torch.cat([text.float(), no_object]).T


class LinearScores(nn.Module):
    """A learned classifier of fixed classes, for the fully supervised systems."""

    def __init__(self, classifier: nn.Module, num_classes: int):
        """`classifier`: rows (M,D) or (M,C) -> (M,K+1), K = `num_classes`, no-object last."""
        super().__init__()
        self.classifier = classifier
        self.num_classes = num_classes

    def embed(self, vectors: Tensor) -> Tensor:
        """Kernels (B,N,D) or pooled features (B,N,C), unchanged, in float32."""
        return vectors.float()

    def forward(self, embeddings: Tensor, text: Tensor) -> Tensor:
        """Embeddings (…,N,D) -> logits (…,N,K+1) float32; of text (K,E) only K is read.

        Raises:
            UserError: the vocabulary has another number of classes than the classifier.
        """
        if len(text) != self.num_classes:
            raise UserError(
                f"MODEL.SEM_SEG_HEAD.CLASSIFIER linear has MODEL.SEM_SEG_HEAD.NUM_CLASSES "
                f"{self.num_classes}, but the vocabulary has {len(text)} classes: make them equal, "
                "or choose CLASSIFIER text for other vocabularies"
            )
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            rows = self.classifier(embeddings.flatten(0, -2))
            return rows.unflatten(0, embeddings.shape[:-1])


class NoScores(nn.Module):
    """Of a head that learns nothing: CLIP alone names its masks."""

    def embed(self, vectors: Tensor) -> Tensor:
        """Kernels (B,N,D), unchanged, in float32."""
        return vectors.float()

    def forward(self, embeddings: Tensor, text: Tensor) -> Tensor:
        """Raises UserError: there are no class scores, for a loss for instance."""
        raise UserError(
            "MODEL.SEM_SEG_HEAD.CLASSIFIER none has no class scores, so there is nothing to train: "
            "evaluate it with --eval-only"
        )


ClassScores = TextAlignedScores | LinearScores | NoScores


def pool_regions(
    features: Mapping[str, Tensor], names: Sequence[str], mask_logits: Tensor
) -> Tensor:
    """Mean backbone features inside every mask, to be embedded instead of the kernels.

    This is a choice of this project for trainings on few photos. The inside of a mask is where its
    logit is over 0; a mask with no such pixel gives zeros.

    Args:
        features: (B,C_i,h_i,w_i) by name; `names` of them are pooled and concatenated.
        mask_logits: (B,N,h,w); no gradient flows into them.
    Returns:
        (B,N,C) float32, C the sum of C_i.
    """
    with torch.autocast(device_type=mask_logits.device.type, enabled=False):
        inside = (mask_logits.detach() > 0).float()
        pooled = [region_means(features[name].float(), inside) for name in names]
    return torch.cat(pooled, dim=2)
