"""Weights of a model; a file that does not fit is refused in one sentence."""

import logging
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.checkpoint.c2_model_loading import align_and_update_state_dicts
from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn

from zsk.errors import UserError
from zsk.safe_load import one_line, read_file

logger = logging.getLogger(__name__)


def load_weights(model: nn.Module, path: str) -> dict[str, Any]:
    """Load a trained checkpoint (a file with "model", or a bare state dict) with weights_only.

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
    if not os.path.isfile(path):
        raise UserError(
            f"weights file {path} does not exist: give a checkpoint (MODEL.WEIGHTS, --weights)"
        )
    content = read_file(path)
    state = _weights(content, path)
    _check_fit(model, state, path)
    model.load_state_dict(state, strict=False)
    notes: dict[str, Any] = content.get("trainer", {}).get("settings", {})
    return notes


def read_state_dict(path: str) -> dict[str, Tensor]:
    """The weights in a file, under "model" or "state_dict" or bare, on the CPU; see `read_file`.

    Raises:
        UserError: the file is unreadable or holds something else.
    """
    return _weights(read_file(path), path)


def _weights(content: Any, path: str) -> dict[str, Tensor]:
    for key in ("model", "state_dict", "model_state", "blobs"):  # also timm's, pycls', Caffe2's
        if isinstance(content, Mapping) and key in content:
            content = content[key]
            break
    if isinstance(content, Mapping):
        content = {
            key: torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value
            for key, value in content.items()
            if not isinstance(value, str | bytes)  # notes beside Caffe2's arrays
        }
        if all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
            return content
    raise UserError(f"weights file {path} holds no model weights")


def _check_fit(model: nn.Module, state: Mapping[str, Tensor], path: str) -> None:
    wanted = model.state_dict()
    for key, value in state.items():
        if key in wanted and value.shape != wanted[key].shape:
            raise UserError(
                f"weights file {path} is of another model: {key} has shape {tuple(value.shape)}, "
                f"the configuration's model {tuple(wanted[key].shape)}"
            )
    if not state.keys() & wanted.keys() and not learned_keys(model):
        logger.warning(f"weights file {path} is not read: this model learns nothing")
    missing = [key for key in wanted if key in learned_keys(model) and key not in state]
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
    if not isinstance(backbone, Backbone) or any(p.requires_grad for p in backbone.parameters()):
        return set()
    if not getattr(backbone, "has_own_weights", False):
        return set()
    return {f"backbone.{key}" for key in backbone.state_dict()}


def initial_weights(model: nn.Module, path: str, min_share: float = 0.5) -> None:
    """Initialise from MODEL.WEIGHTS for training: weights of the backbone or of the whole model.

    "" leaves the random initialisation. Names of Detectron2's model zoo are matched. What was
    loaded is logged, part by part (backbone, sem_seg_head).

    Args:
        min_share: of the tensors of the backbone, and of each part that the file has tensors of,
            that have to be loaded (MODEL.WEIGHTS_MIN_SHARE). 0: anything is accepted.

    Raises:
        UserError: the file is missing, cannot be fetched or read, or is of another model.
    """
    if not path:
        return
    loader = _InitialWeights(model)
    try:
        loader.load(path)
    except UserError:
        raise
    except Exception as error:  # iopath, requests and fvcore have their own kinds
        raise UserError(
            f"MODEL.WEIGHTS {path} cannot be loaded ({one_line(error)}): give a local file, or '' "
            "to start from random weights"
        ) from error
    if loader.file_parts is not None:  # else another process has the file and passes it on
        _check_share(loader, path, min_share)


class _InitialWeights(DetectionCheckpointer):
    """Reads files without executing them, and remembers what was loaded."""

    model: nn.Module

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.loaded: set[str] = set()
        self.file_parts: set[str] | None = None

    def _load_file(self, filename: str) -> dict[str, Any]:
        content = read_file(filename, "MODEL.WEIGHTS")
        weights = _weights(content, filename)
        if "model" in content:
            return {**content, "model": weights}
        if filename.endswith((".pkl", ".pyth")):  # of Caffe2 and of pycls, as in Detectron2
            weights = {k: v for k, v in weights.items() if not k.endswith("_momentum")}
            author = "Caffe2" if filename.endswith(".pkl") else "pycls"
            return {"model": weights, "__author__": author, "matching_heuristics": True}
        return {"model": weights}

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        wanted, weights = self.model.state_dict(), checkpoint["model"]
        if checkpoint.pop("matching_heuristics", False):
            caffe2 = checkpoint.get("__author__") == "Caffe2"
            weights = align_and_update_state_dicts(wanted, weights, c2_conversion=caffe2)
        # which takes out of `weights` what does not fit, and the prefix of distributed models
        incompatible = super()._load_model({**checkpoint, "model": weights})
        self.loaded = weights.keys() & wanted.keys()
        misfits = [key for key, *_ in incompatible.incorrect_shapes]
        self.file_parts = {name.partition(".")[0] for name in [*weights, *misfits]}
        return incompatible


def _check_share(loader: _InitialWeights, path: str, min_share: float) -> None:
    given = loader.file_parts or set()
    # a frozen backbone has its own source
    elsewhere = set() if "backbone" in given else frozen_backbone_keys(loader.model)
    # batch norms' counters change nothing, and files of other sources lack them
    names = [n for n in loader.model.state_dict() if not n.endswith("num_batches_tracked")]
    names = [name for name in names if name not in elsewhere]
    total = Counter(name.partition(".")[0] for name in names)
    loaded = Counter(name.partition(".")[0] for name in names if name in loader.loaded)
    shares = ", ".join(f"{part} {loaded[part]} of {total[part]}" for part in total)
    counts = f"{loaded.total()} of {total.total()} tensors"
    logger.info(f"MODEL.WEIGHTS {path}: loaded {counts} ({shares})")
    needed = (given | {"backbone"}) & total.keys()
    for part in sorted(needed) or list(total):
        if loaded[part] < min_share * total[part]:
            raise UserError(
                f"MODEL.WEIGHTS {path} is of another model: {loaded[part]} of the {total[part]} "
                f"tensors of {part} fit ({shares}); give other weights, '' for random ones, or a "
                f"MODEL.WEIGHTS_MIN_SHARE under {min_share}"
            )
    left = [n for n in names if n.partition(".")[0] in needed and n not in loader.loaded]
    if left:
        logger.warning(f"{len(left)} tensors of these parts stay random, {left[0]} among them")
