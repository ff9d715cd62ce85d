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
        the settings that the file notes of its training.

    Raises:
        UserError: the file is missing, cannot be fetched or read, or is of another model.
    """
    if not path:
        return {}
    path = local_file(path)
    checkpointer = DetectionCheckpointer(model)
    model = checkpointer.model  # of several processes: what they share
    try:
        file = checkpointer.path_manager.get_local_path(path)  # fetches an address
        content = read_file(file, "MODEL.WEIGHTS")
        weights = _matched(content, file, model)
        # which takes out of `weights` what does not fit, and the prefix of distributed models
        incompatible = checkpointer._load_model({"model": weights})
    except UserError:
        raise
    except Exception as error:  # iopath, requests and fvcore have their own kinds
        raise UserError(
            f"MODEL.WEIGHTS {path} cannot be loaded ({one_line(error)}): give a local file, or '' "
            "to start from random weights"
        ) from error
    checkpointer._log_incompatible_keys(incompatible)
    misfits = [key for key, *_ in incompatible.incorrect_shapes]
    given = {name.partition(".")[0] for name in [*weights, *misfits]}
    _check_share(model, set(weights), given, path, min_share)
    return noted_settings(content.get("trainer"))


def _matched(content: Any, file: str, model: nn.Module) -> dict[str, Any]:
    """The weights of a file, under the model's names where Detectron2 would match them."""
    weights, suffix = weights_in(content, file), os.path.splitext(file)[1].lower()
    caffe2 = content.get("__author__") == "Caffe2"
    if "model" not in content and suffix in (".pkl", ".pyth"):  # of Caffe2 and of pycls
        weights = {k: v for k, v in weights.items() if not k.endswith("_momentum")}
        caffe2 = suffix == ".pkl"
    elif not content.get("matching_heuristics"):
        return weights
    return align_and_update_state_dicts(model.state_dict(), weights, c2_conversion=caffe2)


def _check_share(
    model: nn.Module, fitting: set[str], given: set[str], path: str, min_share: float
) -> None:
    """`given`: the parts of a model that the file has weights of."""
    # a frozen backbone has its own source
    elsewhere = set() if "backbone" in given else frozen_backbone_keys(model)
    # batch norms' counters change nothing, and files of other sources lack them
    names = [n for n in model.state_dict() if not n.endswith("num_batches_tracked")]
    names = [name for name in names if name not in elsewhere]
    total = Counter(name.partition(".")[0] for name in names)
    loaded = Counter(name.partition(".")[0] for name in names if name in fitting)
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
    left = [n for n in names if n.partition(".")[0] in needed and n not in fitting]
    if left:
        logger.warning(f"{len(left)} tensors of these parts stay random, {left[0]} among them")
