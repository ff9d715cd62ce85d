"""Class scores of the proposal head: kernels against the text embeddings (section 2).

Shape letters: B images, D kernel width, N kernels, K classes, E text embedding width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TextAlignedScores(nn.Module):
    """An MLP takes every kernel to the text space; text embeddings are the classifier's weights.

    The text embeddings are an argument, not a state: the head learns on the seen classes and is
    used on any vocabulary.
    """

    def __init__(self, dim: int, embed_dim: int, temperature: float):
        """`temperature`: tau, what the cosine is multiplied with (100 in the method)."""
        super().__init__()
        self.temperature = temperature
        self.mlp = nn.Sequential(
            nn.Linear(dim, dim),
            nn.ReLU(inplace=True),
            nn.Linear(dim, dim),
            nn.ReLU(inplace=True),
            nn.Linear(dim, embed_dim),
        )
        self.no_object = nn.Parameter(torch.empty(1, embed_dim))
        nn.init.normal_(self.no_object)

    def forward(self, kernels: Tensor, text: Tensor) -> Tensor:
        """kernels (B,N,D), text (K,E) unit rows -> logits (B,N,K+1), no-object last, float32."""
        with torch.autocast(device_type=kernels.device.type, enabled=False):
            embeddings = F.normalize(self.mlp(kernels.float()), dim=-1)
            no_object = F.normalize(self.no_object, dim=-1)
            return self.temperature * embeddings @ torch.cat([text.float(), no_object]).T
