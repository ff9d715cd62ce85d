"""Loading weights so that a wrong file is a sentence, not a half-loaded model."""

import os
from collections.abc import Mapping

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn

from zsk.errors import UserError


def load_weights(model: nn.Module, path: str) -> None:
    """Load a trained checkpoint (a file with "model", or a bare state dict) with weights_only.

    Frozen backbone weights may be absent: the backbone's own source has them. Everything else has
    to be there and to fit. A model without any weights of its own (CLIP alone) takes "" for a path.

    Raises:
        UserError: the file is missing, unreadable, lacks weights or holds ones of another shape.
    """
    if not path and not model.state_dict():
        return
    if not os.path.isfile(path):
        raise UserError(
            f"weights file {path} does not exist: give a checkpoint (MODEL.WEIGHTS, --weights)"
        )
    state = read_state_dict(path)
    _check_fit(model, state, path)
    model.load_state_dict(state, strict=False)


def read_state_dict(path: str) -> Mapping[str, Tensor]:
    """The weights in a file, under "model" or "state_dict" or bare, on the CPU.

    Read with weights_only: nothing in the file is executed.

    Raises:
        UserError: the file is unreadable or holds something else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle, zip and safetensors each raise their own kinds
        raise UserError(
            f"weights file {path} cannot be read, it is damaged or no checkpoint "
            f"({_one_line(error)})"
        ) from error
    state = content
    for key in ("model", "state_dict"):  # Detectron2's name and timm's
        if isinstance(content, Mapping) and key in content:
            state = content[key]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"weights file {path} holds no model weights")
    return state


def _check_fit(model: nn.Module, state: Mapping[str, Tensor], path: str) -> None:
    wanted = model.state_dict()
    for key, value in state.items():
        if key in wanted and value.shape != wanted[key].shape:
            raise UserError(
                f"weights file {path} is of another model: {key} has shape {tuple(value.shape)}, "
                f"the configuration's model {tuple(wanted[key].shape)}"
            )
    optional = frozen_backbone_keys(model)
    missing = [key for key in wanted if key not in state and key not in optional]
    if missing:
        raise UserError(
            f"weights file {path} lacks {len(missing)} of the model's {len(wanted)} tensors, "
            f"{missing[0]} among them: is it a checkpoint of this configuration?"
        )


def frozen_backbone_keys(model: nn.Module) -> set[str]:
    """State-dict keys of a backbone in which nothing is trained."""
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, Backbone) or any(p.requires_grad for p in backbone.parameters()):
        return set()
    return {f"backbone.{key}" for key in backbone.state_dict()}


def initial_weights(model: nn.Module, path: str) -> None:
    """Initialise from MODEL.WEIGHTS for training: ImageNet weights of the backbone or a checkpoint.

    "" leaves the random initialisation. What does not match is logged by Detectron2.

    Raises:
        UserError: the file is missing or cannot be fetched or read.
    """
    if not path:
        return
    try:
        DetectionCheckpointer(model).load(path)
    except Exception as error:  # iopath, requests, pickle and torch each raise their own kinds
        raise UserError(
            f"MODEL.WEIGHTS {path} cannot be loaded ({_one_line(error)}): give a local file, or '' "
            "to start from random weights"
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
