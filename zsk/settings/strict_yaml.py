"""Reads a user's YAML file; a key that is repeated, unknown or missing is a one-sentence error."""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from zsk.errors import UserError


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        FileNotFoundError: it does not exist; the message is the caller's.
        UserError: it is no regular file, cannot be read, is no YAML, has a key twice in one
            section, or a number in a notation that YAML reads as another number (010 as 8).
    """
    if path.exists() and not path.is_file():  # a named pipe would block
        raise UserError("it is no regular file")
    try:
        with open(path, encoding="utf-8") as stream:
            return yaml.load(stream, Loader=_StrictLoader)
    except (FileNotFoundError, UserError):
        raise
    except RecursionError as error:
        raise UserError("it cannot be read as YAML: it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise UserError("it cannot be read as YAML: it is not encoded in UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UserError(f"it cannot be read as YAML: {place}{error.problem}") from error
    except Exception as error:  # also what PyYAML stumbles over, such as !!int x
        raise UserError(f"it cannot be read as YAML ({' '.join(str(error).split())})") from error


def check_keys(
    section: Mapping[Any, Any], prefix: str, known: Collection[str], required: Collection[str] = ()
) -> None:
    """Raise a UserError unless all keys are `known` and all `required` are there.

    `prefix`: what stands before a key in the message ("train.").
    """
    for key in section:
        if key not in known:
            raise UserError(f"unknown key {prefix}{key}: known are {', '.join(known)}")
    for key in required:
        if key not in section:
            raise UserError(f"the key {prefix}{key} is missing")


def typed(section: Mapping[Any, Any], key: str, kind: type, what: str, prefix: str = "") -> Any:
    """The value of a key that is there; raises UserError where it is no `what` (a `kind`)."""
    value = section[key]
    # bool is a kind of int in Python, but `cat: yes` is no number
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UserError(f"key {prefix}{key} is {value!r}, but has to be {what}")
    return value


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader without its surprises.

    That would take the last of two equal keys, and read 010 as 8 and 1:30 as 90. A date stays the
    text that it is.
    """

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        nodes = [key for key, _ in node.value if not key.tag.endswith(":merge")]
        keys = [self.construct_object(key, deep=True) for key in nodes]
        for key in keys:
            if keys.count(key) > 1:
                line = node.start_mark.line + 1
                raise UserError(f"key {key} occurs twice in the section that begins in line {line}")
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """A number in the decimal notation, in which YAML reads it as everyone else does."""
        whole = node.tag.endswith(":int")
        value = self.construct_yaml_int(node) if whole else self.construct_yaml_float(node)
        if not re.fullmatch(_DECIMAL, node.value, re.IGNORECASE):
            raise UserError(
                f"line {node.start_mark.line + 1}: YAML reads {node.value} as the number {value}: "
                f"write {value}, or '{node.value}' in quotes where it is no number"
            )
        return value


_DECIMAL = r"[-+]?((0|[1-9]\d*)(\.\d*)?|\.\d+)(e[-+]?\d+)?|[-+]?\.inf|\.nan"
for _kind in ("int", "float"):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _StrictLoader.construct_number)
