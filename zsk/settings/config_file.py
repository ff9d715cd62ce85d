"""Reads a configuration file and the files that its _BASE_ names; nothing in them is executed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from fvcore.common.config import BASE_KEY

from zsk.config import default_config
from zsk.errors import UserError
from zsk.settings.strict_yaml import read_yaml

BESIDE_THE_FILE = (
    *("MODEL.WEIGHTS", "MODEL.CLIP.PROMPT_WEIGHTS", "MODEL.CLIP.REGION_PROMPT_WEIGHTS"),
    "DATASETS.SPLIT_FILE",
)


class SafeConfig(CfgNode):
    """Detectron2's node, which would run the Python calls that a YAML file may contain."""

    @classmethod
    def load_yaml_with_base(cls, filename: str, allow_unsafe: bool = False) -> dict[str, Any]:
        return read_config(filename)


def read_config(path: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """The content of a file, over that of its _BASE_: a path or a list, relative to the file.

    Paths of the keys BESIDE_THE_FILE are taken from the folder of the file that has them, where
    they exist there.

    Args:
        above: the files whose _BASE_ led here.

    Raises:
        UserError: naming the file, when it or its _BASE_ is missing, unreadable or holds no keys.
    """
    file = os.path.realpath(path)
    if file in above:
        raise UserError(f"config file {path}: its _BASE_ leads back to itself")
    own = own_content(path)
    for key in BESIDE_THE_FILE:
        section, name = key.rsplit(".", 1)
        node: Any = reduce(lambda node, part: node.get(part, {}), section.split("."), own)
        if isinstance(node, dict) and isinstance(node.get(name), str):
            node[name] = _beside(path, node[name])
    bases = own.pop(BASE_KEY, [])
    merged: dict[str, Any] = {}
    for base in bases if isinstance(bases, list) else [bases]:
        if not isinstance(base, str) or not base:
            raise UserError(f"config file {path}: _BASE_ is {base!r}, but has to be a path")
        found = os.path.join(os.path.dirname(path), os.path.expanduser(base))
        if not os.path.exists(found):
            raise UserError(f"config file {path}: _BASE_ names {found}, which does not exist")
        _merge(read_config(found, (*above, file)), merged)
    _merge(own, merged)
    return merged


def own_content(path: str) -> dict[str, Any]:
    """The content of the file itself, with _BASE_ as it stands there."""
    try:
        content = read_yaml(Path(path))
        if not isinstance(content, dict) or not content:
            raise UserError("it holds no keys (KEY: value)")
        for parts, _ in flat(content):
            if not all(isinstance(part, str) for part in parts):
                raise UserError(f"the key {'.'.join(map(str, parts))} is no word")
        for key, known in default_config().items():  # Detectron2 looks into them before it checks
            if isinstance(known, dict) and not isinstance(content.get(key, {}), dict):
                raise UserError(f"{key} is {content[key]!r}, but has to be a section of keys")
        if type(content.get("VERSION", 2)) is not int:
            raise UserError(f"VERSION is {content['VERSION']!r}, but has to be 2")
    except UserError as error:
        raise UserError(f"config file {path}: {error}") from error
    except RecursionError as error:  # a section that holds itself
        raise UserError(f"config file {path}: it is nested too deeply") from error
    return content


def flat(
    section: Mapping[Any, Any], above: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The keys of a section and of those in it, each as the parts of its full name, and values."""
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, (*above, key))
        else:
            yield (*above, key), value


def _beside(config_file: str, path: str) -> str:
    """The path from the configuration's folder if there is such a file, else as it is."""
    beside = os.path.join(os.path.dirname(os.path.abspath(config_file)), path)
    return beside if path and os.path.isfile(beside) else path


def _merge(new: Mapping[str, Any], into: dict[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(value, into[key])
        else:
            into[key] = value
