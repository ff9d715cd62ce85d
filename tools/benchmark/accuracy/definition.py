"""Reads the definition of a benchmark's tables from a YAML file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark.accuracy.rows import Definition, Grid, Row, Table

from zsk.errors import UserError
from zsk.strict_yaml import check_keys, read_yaml, typed

# the keys of each section, with their types
_TABLE = {"title": str, "plot": str, "rows": list}
_ROW = {"system": str, "config": str, "settings": dict, "evaluate": dict, "trained": bool}
_ROW |= {"prepare": dict, "seeds": int}
_GRID = {"table": str, "images": int, "systems": list}
_QUICK = {"tables": list, "seeds": list, "iterations": int, "settings": dict, "prepare": dict}
_TOP = {**_QUICK, "tables": dict, "grid": dict, "quick": dict}

_WORDS = {str: "a text in quotes", list: "a list", dict: "a section of keys", bool: "true or false"}
_WORDS[int] = "a whole number of 1 or more"


def read_definition(
    path: str | os.PathLike[str],
    *,
    quick: bool = False,
    tables: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
) -> Definition:
    """Read and check a definition; configs/synthetic/tables.yaml documents the keys.

    Args:
        path: the YAML file; rows name configurations relative to its folder.
        quick: the file's section "quick" replaces tables, seeds, iterations and preparations, and
            adds its settings.
        tables, seeds: instead of the file's; None takes the file's.

    Raises:
        UserError: naming the file and the key, when it is missing, no YAML, or a key is missing,
            unknown, of a wrong type or contradicts another.
    """
    try:
        definition = _definition(read_yaml(Path(path)), Path(path), quick)
        if tables is not None:
            _check_names(tables, definition.tables, "--tables")
            definition = replace(definition, selected=tuple(tables))
        if seeds is not None:
            definition = replace(definition, seeds=_seeds(list(seeds), "--seeds"))
        return definition
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: name a definition (--definition)") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _definition(content: Any, file: Path, quick: bool) -> Definition:
    if not isinstance(content, dict):
        raise UserError("it holds no keys: configs/synthetic/tables.yaml is an example")
    chosen = _read(content, "", _TOP, required=("tables",))
    folder = file.resolve().parent
    tables = tuple(_table(str(name), table, folder) for name, table in content["tables"].items())
    if not tables:
        raise UserError("key tables is empty: give one table at least")
    grid = _grid(content["grid"], tables) if "grid" in content else None
    chosen["tables"] = [table.name for table in tables]
    prefix = ""
    if quick:
        if "quick" not in content:
            raise UserError("it has no section quick, which --quick reads: add it")
        prefix, own = "quick.", _read(content["quick"], "quick.", _QUICK)
        own["settings"] = {**chosen.get("settings", {}), **own.get("settings", {})}
        chosen = {"tables": chosen["tables"], "prepare": chosen.get("prepare", {}), **own}
        _check_names(chosen["tables"], tables, "key quick.tables")
    return Definition(
        name=file.name,
        tables=tables,
        selected=tuple(chosen["tables"]),
        seeds=_seeds(chosen.get("seeds", [1, 2, 3]), f"key {prefix}seeds"),
        iterations=chosen.get("iterations"),
        settings=chosen.get("settings", {}),
        prepare=chosen.get("prepare", {}),
        grid=grid,
    )


def _table(name: str, section: Any, folder: Path) -> Table:
    prefix = f"tables.{name}."
    values = _read(section, prefix, _TABLE, required=("rows",))
    listed = enumerate(values["rows"], 1)
    rows = tuple(_row(name, row, f"{prefix}rows: row {i}: ", folder) for i, row in listed)
    if not rows:
        raise UserError(f"key {prefix}rows is empty: give one row at least")
    identities = [row.identity for row in rows]
    for row in rows:
        if identities.count(row.identity) > 1:
            raise UserError(f"{row.where}: two rows are the same, give one another system name")
    return Table(name, values.get("title", name), values.get("plot", ""), rows)


def _row(table: str, section: Any, prefix: str, folder: Path) -> Row:
    values = _read(section, prefix, _ROW, required=("system", "config"))
    config = folder / values["config"]
    if not config.is_file():
        raise UserError(f"key {prefix}config: {config} does not exist")
    row = Row(table, **{**values, "config": os.path.abspath(config)})
    for key in row.evaluate:
        if key in row.settings:
            raise UserError(f"{prefix}{key} is in settings and in evaluate: give it once")
    if not row.trained and row.seeds:
        raise UserError(f"{prefix}seeds has no use in an untrained row: leave it out")
    if not row.trained and row.evaluate:
        raise UserError(f"{prefix}evaluate has no use in an untrained row: put it into settings")
    return row


def _grid(section: Any, tables: Sequence[Table]) -> Grid:
    values = _read(section, "grid.", _GRID, required=("table", "images"))
    grid = Grid(**{**values, "systems": tuple(values.get("systems", ()))})
    _check_names([grid.table], tables, "key grid.table")
    known = [row.system for table in tables if table.name == grid.table for row in table.rows]
    for system in grid.systems:
        if system not in known:
            raise UserError(f"key grid.systems: {system!r} is not in the table {grid.table}")
    return grid


def _read(
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
        if key in ("settings", "evaluate"):
            _check_settings(value, f"{prefix}{key}.")
        if key == "prepare":
            values[key] = _commands(value, f"{prefix}{key}.")
    return values


def _check_settings(settings: Mapping[Any, Any], prefix: str) -> None:
    for name, value in settings.items():
        if not isinstance(name, str) or value is None or isinstance(value, dict):
            raise UserError(
                f"key {prefix}{name} is {value!r}, but has to be a number, a text, true, false or "
                "a list under a configuration key"
            )


def _commands(commands: Mapping[Any, Any], prefix: str) -> dict[str, tuple[str, ...]]:
    for name in commands:
        words = typed(commands, name, list, "a list of words", prefix)
        if not words:
            raise UserError(f"key {prefix}{name} is empty: give a program and its arguments")
    return {str(name): tuple(map(str, words)) for name, words in commands.items()}


def _seeds(seeds: list[Any], where: str) -> tuple[int, ...]:
    # a negative seed lets Detectron2 draw one, and no run could be repeated
    valid = bool(seeds) and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not valid or len(set(seeds)) < len(seeds):
        raise UserError(f"{where} is {seeds!r}, but has to be different whole numbers of 0 or more")
    return tuple(seeds)


def _check_names(names: Sequence[str], tables: Sequence[Table], where: str) -> None:
    known = [table.name for table in tables]
    for name in names:
        if name not in known:
            raise UserError(f"{where}: there is no table {name!r}, there are {', '.join(known)}")
