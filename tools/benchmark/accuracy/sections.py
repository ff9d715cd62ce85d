"""Reads the sections of a benchmark's definition: known keys, values of the right kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zsk.errors import UserError
from zsk.settings.strict_yaml import check_keys, typed

# the keys of each section, with their types
TABLE: dict[str, type] = {"title": str, "plot": str, "rows": list, "settings": dict}
TABLE |= {"logarithmic": bool, "reported": str}
ROW: dict[str, type] = {
    "system": str,
    "config": str,
    "settings": dict,
    "evaluate": dict,
    "trained": bool,
}
ROW |= {"prepare": dict, "seeds": int, "from": dict, "reported": dict}
START = {"config": str, "settings": dict}
_REPORTED = ("hIoU", "seen", "unseen")
QUICK = {"tables": list, "seeds": list, "iterations": int, "settings": dict, "prepare": dict}
TOP = {**QUICK, "tables": dict, "quick": dict}

_WORDS = {str: "a text in quotes", list: "a list", dict: "a section of keys", bool: "true or false"}
_WORDS[int] = "a whole number of 1 or more"


def read_section(
    section: Any, prefix: str, kinds: Mapping[str, type], required: Sequence[str] = ()
) -> dict[str, Any]:
    """The checked values of a section's keys; `prefix` stands before a key in messages."""
    if not isinstance(section, dict):
        raise UserError(
            f"key {prefix.rstrip('.: ')} is {section!r}, but has to be a section of keys"
        )
    check_keys(section, prefix, tuple(kinds), required)
    values = {key: typed(section, key, kinds[key], _WORDS[kinds[key]], prefix) for key in section}
    for key, value in values.items():
        if kinds[key] is int and value < 1:
            raise UserError(f"key {prefix}{key} is {value}, but has to be 1 or more")
        if key in ("settings", "evaluate"):  # YAML reads 1 and on as no text
            values[key] = {str(name): setting for name, setting in value.items()}
        if key == "prepare":
            values[key] = _commands(value, f"{prefix}{key}.")
        if key == "reported" and kinds[key] is dict:
            _check_reported(value, f"{prefix}{key}.")
    return values


def _check_reported(numbers: Mapping[Any, Any], prefix: str) -> None:
    check_keys(numbers, prefix, _REPORTED, _REPORTED)
    for key, value in numbers.items():
        if type(value) not in (int, float) or not 0 <= value <= 100:
            raise UserError(f"key {prefix}{key} is {value!r}, but has to be a number from 0 to 100")


def _commands(commands: Mapping[Any, Any], prefix: str) -> dict[str, tuple[str, ...]]:
    for name in commands:
        words = typed(commands, name, list, "a list of words", prefix)
        if not words:
            raise UserError(f"key {prefix}{name} is empty: give a program and its arguments")
    return {str(name): tuple(map(str, words)) for name, words in commands.items()}
