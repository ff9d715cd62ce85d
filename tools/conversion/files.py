"""Checks a conversion and writes its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml
from detectron2.config import CfgNode
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from fvcore.common.config import BASE_KEY
from torch import nn

from zsk.backbones.build import build_backbone
from zsk.classification.learned_prompts import save_prompts
from zsk.config import default_config
from zsk.config_file import SafeConfig
from zsk.engine.network_settings import CLASSES, NETWORK_KEYS, text_space
from zsk.errors import UserError
from zsk.files import replacing
from zsk.key_checks import all_keys, check_values
from zsk.safe_load import save_file

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


def write(conversion: Conversion, target: Path) -> list[Path]:
    """Write the weights, and beside them the configuration, prompts and classes that they need.

    Returns:
        the written files, `target` first.

    Raises:
        UserError: a file cannot be written.
    """
    prompts = {key: _prompts_file(key, conversion, target) for key in conversion.prompts}
    assert conversion.encoder is not None or not prompts
    for key, file in prompts.items():
        save_prompts(str(file), conversion.prompts[key], conversion.encoder)  # type: ignore
    if not conversion.config:
        return list(prompts.values())
    config = _with_files(conversion, target, prompts)
    written = [target, *prompts.values(), target.with_suffix(".yaml")]
    if conversion.split:
        file = target.with_name(config["DATASETS"]["SPLIT_FILE"])
        written.append(_write_yaml(file, conversion.split))
    _write_yaml(target.with_suffix(".yaml"), config)
    _write_weights(conversion, target)  # last: what goes with it is there
    return written


def _built_config(conversion: Conversion) -> CfgNode:
    cfg, own = SafeConfig(default_config()), dict(conversion.config)
    if BASE_KEY in own:
        cfg.merge_from_file(own.pop(BASE_KEY))
    cfg.merge_from_other_cfg(SafeConfig(own))
    check_values(cfg)
    return cfg


def _prompts_file(key: str, conversion: Conversion, target: Path) -> Path:
    ending = key.rpartition(".")[2].lower()
    name = f"{target.stem}_{ending}{target.suffix}"
    return target.with_name(name) if conversion.config else target


def _with_files(conversion: Conversion, target: Path, prompts: dict[str, Path]) -> dict[str, Any]:
    config = {**conversion.config, "VERSION": 2}
    config["MODEL"] = {**config["MODEL"], "WEIGHTS": target.name}
    for key, file in prompts.items():
        config["MODEL"]["CLIP"][key.rpartition(".")[2] + "_WEIGHTS"] = file.name
    if conversion.split:
        name = f"{target.stem}_classes.yaml"
        config["DATASETS"] = {**config["DATASETS"], "SPLIT_FILE": name}
    return config


def _write_yaml(file: Path, content: dict[str, Any]) -> Path:
    with replacing(file) as unfinished:
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
        unfinished.write_text(text, encoding="utf-8")
    return file


def _write_weights(conversion: Conversion, target: Path) -> None:
    # as a checkpoint of a training: an evaluation with other settings warns
    notes = {"settings": _settings(conversion)}
    save_file(target, {"model": conversion.weights, "trainer": notes})


def _settings(conversion: Conversion) -> dict[str, Any]:
    values = all_keys(_built_config(conversion))
    kept = {key: values[key] for key in NETWORK_KEYS}
    return {CLASSES: list(conversion.classes), **kept, **text_space(conversion.encoder)}
