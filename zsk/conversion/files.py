"""Checks a conversion and says which files it has."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from detectron2.config import CfgNode
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import nn

from zsk.backbones.build import build_backbone
from zsk.classification.learned_prompts import save_prompts
from zsk.config import default_config
from zsk.engine.network_settings import CLASSES, NETWORK_KEYS, text_space
from zsk.errors import UserError
from zsk.files import replacing
from zsk.safe_load import save_file
from zsk.settings.config_file import SafeConfig
from zsk.settings.key_checks import all_keys, check_values

from .conversion import Conversion


def missing_weights(conversion: Conversion) -> list[str]:
    """Names that the configured backbone and head have and the conversion lacks.

    Raises:
        UserError: a tensor that they have not, or of another shape.
    """
    cfg = _built_config(conversion)
    no_object = conversion.weights.get("sem_seg_head.class_scores.no_object")
    embed_dim = 1 if no_object is None else no_object.numel()
    with torch.device("meta"):  # shapes alone
        backbone = build_backbone(cfg)
        build_head = SEM_SEG_HEADS_REGISTRY.get(cfg.MODEL.SEM_SEG_HEAD.NAME)
        head = build_head(cfg, backbone.output_shape(), embed_dim)
    wanted = nn.ModuleDict({"backbone": backbone, "sem_seg_head": head}).state_dict()
    for name, tensor in conversion.weights.items():
        have = tuple(wanted[name].shape) if name in wanted else "no such tensor"
        if tuple(tensor.shape) != have:
            raise UserError(
                f"it looks like {conversion.source}, but its tensor for {name} has shape "
                f"{tuple(tensor.shape)}, the published network {have}: it is of another network"
            )
    return [name for name in wanted if name not in conversion.weights]


def outputs(conversion: Conversion, target: Path) -> dict[Path, Callable[[Path], object]]:
    """The files of a conversion, `target` first, and what writes each, whole or not at all."""
    files: dict[Path, Callable[[Path], object]] = {}
    config = deepcopy(conversion.config)
    if config:
        files[target] = partial(_save_weights, conversion)
    for key, prompts in conversion.prompts.items():
        assert conversion.encoder is not None
        part = key.rpartition(".")[2]
        # without a model, the first prompts are TARGET
        file = target.with_name(f"{target.stem}_{part.lower()}{target.suffix}") if files else target
        files[file] = partial(save_prompts, prompts=prompts, encoder=conversion.encoder)
        if config:
            config["MODEL"]["CLIP"][f"{part}_WEIGHTS"] = file.name
    if config:
        config |= {"OUTPUT_DIR": f"output/{target.stem}", "VERSION": 2}
        config["MODEL"]["WEIGHTS"] = target.name
        files[target.with_suffix(".yaml")] = partial(_save_yaml, config)
    if conversion.own_classes:
        classes = target.with_name(f"{target.stem}_classes.yaml")
        # data sets of several models may be registered in one process
        name = re.sub(r"[^\w-]", "_", target.stem) + "_classes"
        config["DATASETS"] |= {"TEST": [f"{name}_val"], "SPLIT_FILE": classes.name}
        folders = {"images": "val/images", "labels": "val/labels"}
        split = {"name": name, "classes": list(conversion.classes), "val": folders}
        files[classes] = partial(_save_yaml, split)
    return files


def check_outputs(files: Iterable[Path], inputs: Iterable[Path], overwrite: bool) -> None:
    """Raise a UserError for a file that is an input by whatever path, or would be replaced."""
    read = set(map(os.path.realpath, inputs))
    for file in files:
        if os.path.realpath(file) in read:
            raise UserError(f"{file} would be written, but is an input: give another TARGET")
        if file.is_dir():
            raise UserError(f"{file} would be written, but is a folder: give another TARGET")
        if file.exists() and not overwrite:
            raise UserError(f"{file} exists: give another TARGET, or --overwrite to replace it")


def _built_config(conversion: Conversion) -> CfgNode:
    cfg = SafeConfig(default_config())
    cfg.merge_from_other_cfg(SafeConfig(conversion.config))
    check_values(cfg)
    return cfg


def _save_yaml(content: dict[str, Any], path: Path) -> None:
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _save_weights(conversion: Conversion, path: Path) -> None:
    """As a checkpoint of a training, so that an evaluation with other settings warns."""
    values = all_keys(_built_config(conversion))
    settings = {
        CLASSES: list(conversion.classes),
        **{key: values[key] for key in NETWORK_KEYS},
        **text_space(conversion.encoder),
    }
    save_file(path, {"model": conversion.weights, "trainer": {"settings": settings}})
