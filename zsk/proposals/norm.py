"""Norms of the heads (MODEL.SEM_SEG_HEAD.NORM), and convolutions with them."""

from detectron2.layers import Conv2d, get_norm
from torch import nn

NORM_GROUPS = 32  # of Detectron2's GN


def conv(inputs: int, outputs: int, size: int, norm: str, activate: bool = True) -> Conv2d:
    """Detectron2's convolution that keeps the resolution, with a norm ("": a bias) and a ReLU."""
    return Conv2d(
        *(inputs, outputs, size),
        padding=size // 2,
        bias=not norm,
        norm=get_norm(norm, outputs),
        activation=nn.ReLU(inplace=True) if activate else None,
    )
