"""The weights that a training starts from (MODEL.WEIGHTS): what fits is loaded, and told."""

import logging
import os
from collections import Counter
from typing import Any

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.checkpoint.c2_model_loading import align_and_update_state_dicts
from torch import nn

from zsk.engine.checkpoint import frozen_backbone_keys, noted_settings, weights_in
from zsk.errors import UserError
from zsk.known_weights import local_file
from zsk.safe_load import one_line, read_file

logger = logging.getLogger(__name__)


def initial_weights(model: nn.Module, path: str, min_share: float = 0.5) -> dict[str, Any]:
    """Initialise from MODEL.WEIGHTS for training: weights of the backbone or of the whole model.

    "" leaves the random initialisation. Names of Detectron2's model zoo are matched. What was
    loaded is logged, part by part (backbone, sem_seg_head).

    Args:
        min_share: of the tensors of the backbone, and of each part that the file has tensors of,
            that have to be loaded (MODEL.WEIGHTS_MIN_SHARE). 0: anything is accepted.

    Returns:
        the settings that the file notes of its training, {} in processes that another one hands the
        weights to.

    Raises:
        UserError: the file is missing, cannot be fetched or read, or is of another model.
    """
    if not path:
        return {}
    path = local_file(path)
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
    return loader.noted


class _InitialWeights(DetectionCheckpointer):
    """Reads files without executing them, and remembers what was loaded."""

    model: nn.Module

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.loaded: set[str] = set()
        self.file_parts: set[str] | None = None
        self.noted: dict[str, Any] = {}

    def _load_file(self, filename: str) -> dict[str, Any]:
        content = read_file(filename, "MODEL.WEIGHTS")
        weights = weights_in(content, filename)
        self.noted = noted_settings(content.get("trainer"))
        if "model" in content:
            return {**content, "model": weights}
        suffix = os.path.splitext(filename)[1].lower()
        if suffix in (".pkl", ".pyth"):  # of Caffe2 and of pycls, as in Detectron2
            weights = {k: v for k, v in weights.items() if not k.endswith("_momentum")}
            author = "Caffe2" if suffix == ".pkl" else "pycls"
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
