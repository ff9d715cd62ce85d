"""MaskFormer's pixel decoder: backbone features -> per-pixel embeddings at the finest stride.

The arithmetic is that of MaskFormer's feature pyramid (Cheng et al., NeurIPS 2021).

Shape letters: B images, C channels of the pyramid, M width of the per-pixel embeddings.
"""

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from detectron2.layers import Conv2d, ShapeSpec
from fvcore.nn import weight_init
from torch import Tensor, nn

from .norm import conv


class PixelDecoder(nn.Module):
    """A feature pyramid, from the coarsest feature down to the finest, which alone is kept."""

    def __init__(
        self,
        input_shape: Mapping[str, ShapeSpec],
        *,
        in_features: Sequence[str],
        conv_dim: int,
        mask_dim: int,
        norm: str,
    ):
        """
        Args:
            in_features: names of the backbone features, finest first (res2 to res5).
            conv_dim: C. mask_dim: M. norm: of every convolution but the last ("GN").
        """
        super().__init__()
        *finer, coarsest = in_features
        self.coarsest = coarsest
        self.finer = tuple(reversed(finer))  # in the order of the way down
        channels = {name: int(input_shape[name].channels or 0) for name in in_features}
        self.stem = conv(channels[coarsest], conv_dim, 3, norm)
        # no activation: they are added to what comes from above
        self.laterals = nn.ModuleList(
            conv(channels[name], conv_dim, 1, norm, activate=False) for name in self.finer
        )
        self.outputs = nn.ModuleList(conv(conv_dim, conv_dim, 3, norm) for _ in self.finer)
        self.mask_features = Conv2d(conv_dim, mask_dim, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                weight_init.c2_xavier_fill(module)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Backbone features (B,C_i,h_i,w_i) -> (B,M,h,w) at the finest one's resolution."""
        pyramid = self.stem(features[self.coarsest])
        for name, lateral, output in zip(self.finer, self.laterals, self.outputs):
            side = lateral(features[name])
            pyramid = output(side + F.interpolate(pyramid, size=side.shape[-2:], mode="nearest"))
        return self.mask_features(pyramid)
