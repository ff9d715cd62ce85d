"""Class scores of the proposal head: embeddings against the text embeddings (section 2).

Shape letters: B images, D kernel width, N kernels, C pooled channels, K classes, E text embedding
width, h x w masks.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from detectron2.layers import NaiveSyncBatchNorm
from torch import Tensor, nn

from zsk.errors import UserError

from .image_clusters import region_means
from .masks import resize_masks


def kernel_embedding(dim: int, embed_dim: int) -> nn.Module:
    """The MLP that takes a kernel (…,D) to the text space (…,E)."""
    return nn.Sequential(
        nn.Linear(dim, dim),
        nn.ReLU(inplace=True),
        nn.Linear(dim, dim),
        nn.ReLU(inplace=True),
        nn.Linear(dim, embed_dim),
    )


def region_embedding(channels: int, embed_dim: int, dropout: float) -> nn.Module:
    """A linear map of standardised features (M,C) to the text space (M,E).

    Linear on purpose: with few photos a deeper map learns the photos, not the classes.
    """
    return nn.Sequential(
        nn.Unflatten(1, (channels, 1, 1)),
        # its statistics are those of all processes, so that all of them keep the same model
        NaiveSyncBatchNorm(channels),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(channels, embed_dim),
    )


class TextAlignedScores(nn.Module):
    """What is embedded is compared with the text embeddings, which are the classifier's weights.

    The text embeddings are an argument, not a state: the head learns on the seen classes and is
    used on any vocabulary.
    """

    def __init__(self, embedding: nn.Module, embed_dim: int, temperature: float):
        """
        Args:
            embedding: rows -> (B*N,E), `kernel_embedding` or `region_embedding`.
            temperature: tau, what the cosine is multiplied with (100 in the method).
        """
        super().__init__()
        self.temperature = temperature
        self.embedding = embedding
        self.no_object = nn.Parameter(torch.empty(1, embed_dim))
        nn.init.normal_(self.no_object)

    def forward(self, vectors: Tensor, text: Tensor) -> Tensor:
        """vectors (B,N,D) or (B,N,C), text (K,E) unit rows -> logits (B,N,K+1) float32.

        The no-object class is the last one.
        """
        with torch.autocast(device_type=vectors.device.type, enabled=False):
            embeddings = self.embedding(vectors.float().flatten(0, 1)).unflatten(
                0, vectors.shape[:2]
            )
            embeddings = F.normalize(embeddings, dim=-1)
            no_object = F.normalize(self.no_object, dim=-1)
            return self.temperature * embeddings @ torch.cat([text.float(), no_object]).T


class LinearScores(nn.Module):
    """A learned classifier of fixed classes: what the fully supervised systems have."""

    def __init__(self, classifier: nn.Module, num_classes: int):
        """
        Args:
            classifier: rows (B*N,D) or (B*N,C) -> (B*N,K+1), K = `num_classes`, no-object last.
        """
        super().__init__()
        self.classifier = classifier
        self.num_classes = num_classes

    def forward(self, vectors: Tensor, text: Tensor) -> Tensor:
        """vectors (B,N,D) or (B,N,C) -> logits (B,N,K+1) float32; of text (K,E) K alone counts.

        Raises:
            UserError: the vocabulary has another number of classes than was learned.
        """
        if len(text) != self.num_classes:
            raise UserError(
                f"MODEL.SEM_SEG_HEAD.CLASSIFIER linear has MODEL.SEM_SEG_HEAD.NUM_CLASSES "
                f"{self.num_classes}, but the vocabulary has {len(text)} classes: make them equal, "
                "or choose CLASSIFIER text for other vocabularies"
            )
        with torch.autocast(device_type=vectors.device.type, enabled=False):
            return self.classifier(vectors.float().flatten(0, 1)).unflatten(0, vectors.shape[:2])


def pool_regions(
    features: Mapping[str, Tensor], names: Sequence[str], mask_logits: Tensor
) -> Tensor:
    """Mean backbone features inside every mask: our choice, beside the method's kernels.

    With few photos (80) a linear map of frozen features named regions of other photos better than
    embeddings of kernels that were learned from the photos. Inside is where a logit is over 0; a
    mask with no such pixel gives zeros.

    Args:
        features: (B,C_i,h_i,w_i) by name; `names` of them are pooled and concatenated.
        mask_logits: (B,N,h,w); no gradient flows into them.
    Returns:
        (B,N,C) float32, C the sum of C_i.
    """
    with torch.autocast(device_type=mask_logits.device.type, enabled=False):
        inside = (mask_logits.detach() > 0).float()
        size = inside.shape[-2:]
        pooled = [
            region_means(resize_masks(features[name].float(), size), inside) for name in names
        ]
    return torch.cat(pooled, dim=2)
