"""Checks a conversion and writes its files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
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


def outputs(conversion: Conversion, target: Path) -> list[Path]:
    """The files that `write` writes, `target` first."""
    files = [target, *(_prompts_file(key, conversion, target) for key in conversion.prompts)]
    if conversion.config:
        files.append(target.with_suffix(".yaml"))
    if conversion.own_classes:
        files.append(_classes_file(target))
    return list(dict.fromkeys(files))


def check_outputs(files: Sequence[Path], inputs: Mapping[str, Path], overwrite: bool) -> None:
    """Raise a UserError for a file that is an input by whatever path, or would be replaced."""
    for file in files:
        for option, given in inputs.items():
            if _same(file, given):
                raise UserError(f"{file} would be written, but is {option}: give another TARGET")
        if file.is_dir():
            raise UserError(f"{file} would be written, but is a folder: give another TARGET")
        if file.exists() and not overwrite:
            raise UserError(f"{file} exists: give another TARGET, or --overwrite to replace it")


def write(conversion: Conversion, target: Path) -> None:
    """Write the weights, and beside them the configuration, prompts and classes that they need.

    They get their names when all of them are written.

    Raises:
        UserError: a file cannot be written.
    """
    try:
        with TemporaryDirectory(prefix=".unfinished-", dir=target.parent) as folder:
            _write_all(conversion, Path(folder, target.name))
            for file in outputs(conversion, target):
                os.replace(Path(folder, file.name), file)
    except OSError as error:
        raise UserError(f"TARGET {target} cannot be written: {error.strerror}") from error
    except UserError as error:
        reason = str(error).partition(" cannot be written: ")[2]
        raise UserError(f"TARGET {target} cannot be written: {reason}") from error


def _write_all(conversion: Conversion, target: Path) -> None:
    prompts = {key: _prompts_file(key, conversion, target) for key in conversion.prompts}
    assert conversion.encoder is not None or not prompts
    for key, file in prompts.items():
        save_prompts(str(file), conversion.prompts[key], conversion.encoder)  # type: ignore
    if not conversion.config:
        return
    if conversion.own_classes:
        folders = {"images": "val/images", "labels": "val/labels"}
        split = {"name": _classes_name(target), "classes": list(conversion.classes), "val": folders}
        _write_yaml(_classes_file(target), split)
    _write_yaml(target.with_suffix(".yaml"), _with_files(conversion, target, prompts))
    _write_weights(conversion, target)


def _same(one: Path, other: Path) -> bool:
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)  # hard links, too
    return os.path.realpath(one) == os.path.realpath(other)


def _built_config(conversion: Conversion) -> CfgNode:
    cfg = SafeConfig(default_config())
    cfg.merge_from_other_cfg(SafeConfig(conversion.config))
    check_values(cfg)
    return cfg


def _prompts_file(key: str, conversion: Conversion, target: Path) -> Path:
    """Beside the model; without one, the first prompts are TARGET."""
    if not conversion.config and key == next(iter(conversion.prompts)):
        return target
    ending = key.rpartition(".")[2].lower()
    return target.with_name(f"{target.stem}_{ending}{target.suffix}")


def _classes_file(target: Path) -> Path:
    return target.with_name(f"{target.stem}_classes.yaml")


def _classes_name(target: Path) -> str:
    """Of the split file: data sets of several models may be registered in one process."""
    return re.sub(r"[^\w-]", "_", target.stem) + "_classes"


def _with_files(conversion: Conversion, target: Path, prompts: dict[str, Path]) -> dict[str, Any]:
    output = f"output/{target.stem}"
    config = {**conversion.config, "OUTPUT_DIR": output, "VERSION": 2}
    config["MODEL"] = {**config["MODEL"], "WEIGHTS": target.name}
    for key, file in prompts.items():
        config["MODEL"]["CLIP"][key.rpartition(".")[2] + "_WEIGHTS"] = file.name
    if conversion.own_classes:
        test = [f"{_classes_name(target)}_val"]
        own = {"TEST": test, "SPLIT_FILE": _classes_file(target).name}
        config["DATASETS"] = {**config["DATASETS"], **own}
    return config


def _write_yaml(file: Path, content: dict[str, Any]) -> None:
    with replacing(file) as unfinished:
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
        unfinished.write_text(text, encoding="utf-8")


def _write_weights(conversion: Conversion, target: Path) -> None:
    # as a checkpoint of a training: an evaluation with other settings warns
    notes = {"settings": _settings(conversion)}
    save_file(target, {"model": conversion.weights, "trainer": notes})


def _settings(conversion: Conversion) -> dict[str, Any]:
    values = all_keys(_built_config(conversion))
    kept = {key: values[key] for key in NETWORK_KEYS}
    return {CLASSES: list(conversion.classes), **kept, **text_space(conversion.encoder)}
