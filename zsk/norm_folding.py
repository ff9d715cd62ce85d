"""Batch norms folded into the convolutions before them: the same results, up to rounding, for less.

A batch norm in evaluation multiplies and shifts each channel by constants, which a convolution can
do with its weights and its bias. Measured on two threads of a CPU (2026-11-23): a ResNet-101 on a
512x680 photo takes 1.23 s instead of 1.49 s, an EfficientNet-Lite2 10 to 20 % less per crop.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from detectron2.layers import Conv2d, FrozenBatchNorm2d
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

_BATCH_NORMS = (_BatchNorm, FrozenBatchNorm2d)
# timm's, in which every convolution's norm is registered, and runs, right after it
_IN_ORDER = ("timm.models.efficientnet", "timm.models._efficientnet_blocks")


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Fold what can be folded, in place: for evaluation only, training would go astray.

    These are Detectron2's convolutions with a batch norm of their own, neighbours in nn.Sequential,
    and timm's EfficientNets. Other norms, and batch norms without statistics, stay as they are. The
    network's state_dict() is another one afterwards: load weights before.

    Returns:
        the network.

    Raises:
        ValueError: the network is in training mode.
    """
    if network.training:
        raise ValueError("batch norms are folded in networks in evaluation mode only: call eval()")
    for module in list(network.modules()):
        if isinstance(module, Conv2d):
            if _constant(module.norm):
                _fold(module, module.norm)
                module.norm = None
        elif type(module) is nn.Sequential or type(module).__module__ in _IN_ORDER:
            _fold_neighbours(module)
    return network


def _fold_neighbours(module: nn.Module) -> None:
    for (_, conv), (name, norm) in pairwise(list(module.named_children())):
        if type(conv).__name__ in ("Conv2d", "Conv2dSame") and _constant(norm):
            _fold(conv, norm)
            setattr(module, name, getattr(norm, "act", nn.Identity()))  # timm's norms activate, too


def _constant(norm: Any) -> bool:
    return isinstance(norm, _BATCH_NORMS) and norm.running_mean is not None


def _fold(conv: Any, norm: Any) -> None:
    values = (conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    weight, bias, mean, variance, scale, shift = (
        None if value is None else value.detach().double() for value in values
    )
    folded = fuse_conv_bn_weights(weight, bias, mean, variance, norm.eps, scale, shift)
    dtype, trained = conv.weight.dtype, conv.weight.requires_grad
    conv.weight, conv.bias = (nn.Parameter(value.to(dtype), trained) for value in folded)
