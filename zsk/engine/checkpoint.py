"""Weights of a model; a file that does not fit is refused in one sentence."""

import logging
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn

from zsk.errors import UserError
from zsk.known_weights import KNOWN, local_file
from zsk.safe_load import read_file

logger = logging.getLogger(__name__)


def load_weights(model: nn.Module, path: str) -> dict[str, Any]:
    """Load a trained checkpoint (a file with "model", or a bare state dict), executing nothing.

    Weights of a frozen backbone may be missing, since the backbone has its own source; all others
    have to be there and to fit. A model that learns nothing takes the path "".

    Returns:
        the settings that the file notes of its training (`zsk.engine.settings`), or {}.

    Raises:
        UserError: the file is missing, unreadable, lacks weights or holds ones of another shape.
    """
    if not path:
        if learned_keys(model):
            raise UserError(
                "no weights are given: give a checkpoint (MODEL.WEIGHTS, --weights FILE, or "
                "weights=… of a Segmenter)"
            )
        return {}
    path = local_file(path)
    if not os.path.isfile(path):
        raise UserError(
            f"weights file {path} does not exist: give a checkpoint (MODEL.WEIGHTS, --weights), or "
            f"one of the names {', '.join(KNOWN)}"
        )
    content = read_file(path)
    state = weights_in(content, path)
    _check_fit(model, state, path)
    model.load_state_dict(state, strict=False)
    learned = len(learned_keys(model))
    if learned:
        logger.info(f"weights file {path}: all {learned} tensors that the model learns")
        unread = sorted(state.keys() - model.state_dict().keys())
        if unread:
            logger.warning(
                f"weights file {path} holds tensors that this model has no place for "
                f"({len(unread)}, such as {unread[0]}): where it is of another configuration, the "
                "scores will be wrong"
            )
    return noted_settings(content.get("trainer"))


def noted_settings(trainer: Any) -> dict[str, Any]:
    """The settings in the notes "trainer" of a file; {} where it holds none, or something else."""
    settings = trainer.get("settings") if isinstance(trainer, Mapping) else None
    return dict(settings) if isinstance(settings, Mapping) else {}


def read_state_dict(path: str) -> dict[str, Tensor]:
    """The weights in a file, under "model" or "state_dict" or bare, on the CPU; see `read_file`.

    Raises:
        UserError: the file is unreadable or holds something else.
    """
    return weights_in(read_file(path), path)


def weights_in(content: Any, path: str) -> dict[str, Tensor]:
    """The weights in the content of a file. Raises a UserError where it holds something else."""
    for key in ("model", "state_dict", "model_state", "blobs"):  # also timm's, pycls', Caffe2's
        if isinstance(content, Mapping) and key in content:
            content = content[key]
            break
    try:
        weights = {
            key: torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value
            for key, value in content.items()
            # notes: beside Caffe2's arrays, and of a training in a safetensors file
            if not isinstance(value, str | bytes) and key != "trainer"
        }
        if all(isinstance(k, str) and isinstance(v, Tensor) for k, v in weights.items()):
            return weights
    except (AttributeError, TypeError, ValueError):
        pass  # no dictionary, or arrays of what torch lacks: texts, long doubles
    raise UserError(f"weights file {path} holds no model weights")


def _check_fit(model: nn.Module, state: Mapping[str, Tensor], path: str) -> None:
    wanted, learned = model.state_dict(), learned_keys(model)
    for key, value in state.items():
        if key in wanted and value.shape != wanted[key].shape:
            raise UserError(
                f"weights file {path} is of another model: {key} has shape {tuple(value.shape)}, "
                f"the configuration's model {tuple(wanted[key].shape)}"
            )
    if not state.keys() & wanted.keys() and not learned:
        logger.warning(f"weights file {path} is not read: this model learns nothing")
    missing = [key for key in wanted if key in learned and key not in state]
    if missing:
        raise UserError(
            f"weights file {path} lacks {len(missing)} of the model's {len(wanted)} tensors, "
            f"{missing[0]} among them: is it a checkpoint of this configuration?"
        )


def learned_keys(model: nn.Module) -> set[str]:
    """State-dict keys that only a checkpoint can give; none: the model needs no training."""
    return model.state_dict().keys() - frozen_backbone_keys(model)


def frozen_backbone_keys(model: nn.Module) -> set[str]:
    """State-dict keys of a backbone in which nothing is trained, and which has its own weights."""
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, Backbone) or not getattr(backbone, "has_own_weights", False):
        return set()
    if any(parameter.requires_grad for parameter in backbone.parameters()):
        return set()
    return {f"backbone.{key}" for key in backbone.state_dict()}
