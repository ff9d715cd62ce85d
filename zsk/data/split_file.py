"""Registers a user's data sets from a YAML file (docs/own_data.md)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zsk.data.register import register_zero_shot_split
from zsk.data.splits import make_vocabulary
from zsk.errors import UserError
from zsk.files import text_lines
from zsk.settings.strict_yaml import check_keys, read_yaml, typed
from zsk.vocabulary import Vocabulary

PARTS = ("train", "val")

_TEXT = (str, "a text in quotes")
_FILE_KEYS = {
    **{"image_suffix": _TEXT, "label_suffix": _TEXT, "label_orientation": _TEXT},
    "sub_folders": (bool, "yes or no"),
}
_KEYS = ("name", "classes", "unseen", "prompt_names", "label_values", *_FILE_KEYS, *PARTS)
_PART_KEYS = ("images", "labels", "file_list")


def register_split_file(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Register `<name>_train` and `<name>_val`, as far as a split file describes them.

    Keys of the file: "name", "classes" (a list, or a text file with one name per line); "train" or
    "val" or both, each with "images", "labels" and optionally "file_list"; optionally "unseen" (a
    list), "prompt_names" (class → prompt name), "label_values" (class → value in the label files),
    "image_suffix", "label_suffix", "sub_folders" and "label_orientation". Paths are relative to the
    folder of the file. Folders may be missing until a data set is listed.

    Returns:
        the registered names, training first.

    Raises:
        UserError: naming the file and the key, when the file is missing or no YAML, a key is
            missing, unknown or of the wrong type, a class is unknown, or a name is registered
            with other settings.
    """
    file = os.path.abspath(os.path.expanduser(path))
    try:
        return _register(read_yaml(Path(file)), os.path.dirname(file), os.fspath(path))
    except FileNotFoundError as error:
        told = "the file does not exist (DATASETS.SPLIT_FILE, --split-file)"
        raise UserError(f"split file {os.fspath(path)}: {told}") from error
    except UserError as error:
        raise UserError(f"split file {os.fspath(path)}: {error}") from error


def _register(split: Any, folder: str, shown_path: str) -> tuple[str, ...]:
    """Check the keys and register; the caller adds the file to error messages."""
    if not isinstance(split, dict):
        raise UserError("it holds no keys: docs/own_data.md shows an example")
    check_keys(split, "", _KEYS, required=("name", "classes"))
    parts = [part for part in PARTS if part in split]
    if not parts:
        raise UserError("the keys train and val are both missing: give one at least")
    for part in parts:
        section = typed(split, part, Mapping, "a section of keys")
        check_keys(section, f"{part}.", _PART_KEYS, required=("images", "labels"))
        for key in section:
            typed(section, key, str, "a path", f"{part}.")
    name = typed(split, "name", str, "a word in quotes")
    if not re.fullmatch(r"[\w-]+", name):
        raise UserError(f"key name: {name!r} may only hold letters, digits, _ and -")
    vocabulary = _vocabulary(split, folder)
    options = _file_options(split)
    for part in parts:
        section = {key: _below(folder, value) for key, value in split[part].items()}
        register_zero_shot_split(
            f"{name}_{part}",
            section["images"],
            section["labels"],
            vocabulary,
            training=part == "train",
            file_list=section.get("file_list"),
            **options,
            advice=f"see the keys {part}.images and {part}.labels in {shown_path}",
        )
    return tuple(f"{name}_{part}" for part in parts)


def _file_options(split: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `register_zero_shot_split` behind label_values and _FILE_KEYS."""
    options: dict[str, Any] = {}
    for key in (key for key in _FILE_KEYS if key in split):
        options[key] = typed(split, key, *_FILE_KEYS[key])
        if options[key] == "":
            raise UserError(f"key {key} is empty")
    if "image_suffix" in options:
        options["image_suffixes"] = (options.pop("image_suffix"),)
    if "label_values" in split:
        options["label_values"] = _table(split, "label_values", int, "a whole number of 0–65535")
    return options


def _vocabulary(split: Mapping[str, Any], folder: str) -> Vocabulary:
    if isinstance(split["classes"], str):
        try:
            names = text_lines(_below(folder, split["classes"]))
        except UserError as error:
            raise UserError(f"key classes: {error}") from error
    else:
        names = _names(split, "classes")
    unseen = _names(split, "unseen") if "unseen" in split else ()
    return make_vocabulary(names, unseen, _table(split, "prompt_names", *_TEXT))


def _below(folder: str, path: str) -> str:
    """A path of the file, which is relative to its folder or starts with ~."""
    return os.path.join(folder, os.path.expanduser(path))


def _names(split: Mapping[str, Any], key: str) -> list[str]:
    names = typed(split, key, list, "a list of names")
    for position, name in enumerate(names, start=1):
        if not isinstance(name, str):
            raise UserError(f"key {key}: entry {position} is {_no_name(name)}")
    return names


def _no_name(value: Any) -> str:
    """What a value is that stands where a name has to be."""
    why = " (YAML reads yes and on as True, no and off as False)" if type(value) is bool else ""
    return f"{value!r}, not a name: quote it{why}"


def _table(split: Mapping[str, Any], key: str, kind: type, what: str) -> dict[str, Any]:
    """The section `key`, class name → value of type `kind`; {} where the key is missing."""
    if key not in split:
        return {}
    section = typed(split, key, Mapping, "a section with class names as keys")
    for name in section:
        if not isinstance(name, str):
            raise UserError(f"key {key} has the key {_no_name(name)}")
        typed(section, name, kind, what, f"{key}.")
    return dict(section)
