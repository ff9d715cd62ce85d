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

# timm's, in which every convolution's norm is registered, and runs, right after it
_IN_ORDER = (
    "EfficientNet",
    "EfficientNetFeatures",
    "ConvBnAct",
    "DepthwiseSeparableConv",
    "InvertedResidual",
    "EdgeResidual",
)


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
        elif type(module) is nn.Sequential or _is_timms(module):
            _fold_neighbours(module)
    return network


def _is_timms(module: nn.Module) -> bool:
    kind = type(module)
    return kind.__module__.startswith("timm.") and kind.__name__ in _IN_ORDER


def _fold_neighbours(module: nn.Module) -> None:
    # not named_children(), which leaves out what occurs twice
    for (_, conv), (name, norm) in pairwise(list(module._modules.items())):
        if _is_plain(conv) and _constant(norm):
            _fold(conv, norm)
            setattr(module, name, getattr(norm, "act", nn.Identity()))  # timm's norms activate, too


def _is_plain(conv: Any) -> bool:
    """A convolution that does nothing else: torch's own class, or timm's with padding."""
    return type(conv) is nn.Conv2d or type(conv).__name__ == "Conv2dSame"


def _constant(norm: Any) -> bool:
    frozen = isinstance(norm, FrozenBatchNorm2d)
    return frozen or (isinstance(norm, _BatchNorm) and norm.running_mean is not None)


def _fold(conv: Any, norm: Any) -> None:
    weight, bias, mean, variance, scale, shift = (
        _exact(value)
        for value in (conv.weight, conv.bias, norm.running_mean, norm.running_var)
        + (norm.weight, norm.bias)
    )
    folded = fuse_conv_bn_weights(weight, bias, mean, variance, norm.eps, scale, shift)
    trained = (conv.weight.requires_grad, conv.bias is not None and conv.bias.requires_grad)
    conv.weight, conv.bias = (
        nn.Parameter(value.to(conv.weight), wanted) for value, wanted in zip(folded, trained)
    )


def _exact(value: Any) -> Any:
    """In double precision, which some devices lack; None stays."""
    return None if value is None else value.detach().cpu().double()
