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

_TOP_KEYS = ("seeds", "iterations", "settings", "prepare", "tables", "grid", "quick")
_QUICK_KEYS = ("tables", "seeds", "iterations", "settings", "prepare")
_ROW_KEYS = ("system", "config", "settings", "evaluate", "trained", "prepare", "seeds")
_DEFAULT_SEEDS = [1, 2, 3]
_KINDS = {str: "a text in quotes", list: "a list", dict: "a section of keys", bool: "true or false"}


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
    check_keys(content, "", _TOP_KEYS, required=("tables",))
    sections = _get(content, "tables", dict)
    tables = tuple(_table(str(name), sections, name, file) for name in sections)
    if not tables:
        raise UserError("key tables is empty: give one table at least")
    chosen, prefix, settings = content, "", _settings(content, "settings")
    selected = [table.name for table in tables]
    if quick:
        if "quick" not in content:
            raise UserError("it has no section quick, which --quick reads: add it")
        chosen, prefix = _get(content, "quick", dict), "quick."
        check_keys(chosen, prefix, _QUICK_KEYS)
        settings = {**settings, **_settings(chosen, "settings", prefix)}
        chosen = {"prepare": content.get("prepare", {}), **chosen}
        selected = _get(chosen, "tables", list, prefix, selected)
        _check_names(selected, tables, f"key {prefix}tables")
    return Definition(
        name=file.name,
        tables=tables,
        selected=tuple(selected),
        seeds=_seeds(chosen.get("seeds", _DEFAULT_SEEDS), f"key {prefix}seeds"),
        iterations=_count(chosen, "iterations", prefix),
        settings=settings,
        prepare=_commands(chosen, prefix),
        grid=_grid(content, tables) if "grid" in content else None,
    )


def _table(name: str, sections: Mapping[Any, Any], key: Any, file: Path) -> Table:
    prefix = f"tables.{name}."
    section = _get(sections, key, dict, "tables.")
    check_keys(section, prefix, ("title", "plot", "rows"), required=("rows",))
    listed = enumerate(_get(section, "rows", list, prefix), 1)
    folder = file.resolve().parent
    rows = tuple(_row(name, row, f"{prefix}rows: row {i}: ", folder) for i, row in listed)
    if not rows:
        raise UserError(f"key {prefix}rows is empty: give one row at least")
    identities = [row.identity for row in rows]
    for row in rows:
        if identities.count(row.identity) > 1:
            raise UserError(f"{row.where}: two rows are the same, give one another system name")
    title, plot = _get(section, "title", str, prefix, name), _get(section, "plot", str, prefix, "")
    return Table(name, title, plot, rows)


def _row(table: str, section: Any, prefix: str, folder: Path) -> Row:
    if not isinstance(section, dict):
        raise UserError(f"key {prefix}{section!r} is no section of keys")
    check_keys(section, prefix, _ROW_KEYS, required=("system", "config"))
    config = folder / _get(section, "config", str, prefix)
    row = Row(
        table=table,
        system=_get(section, "system", str, prefix),
        config=os.path.abspath(config),
        settings=_settings(section, "settings", prefix),
        evaluate=_settings(section, "evaluate", prefix),
        trained=_get(section, "trained", bool, prefix, True),
        prepare=_commands(section, prefix),
        seeds=_count(section, "seeds", prefix),
    )
    if not config.is_file():
        raise UserError(f"key {prefix}config: {config} does not exist")
    for key in row.evaluate:
        if key in row.settings:
            raise UserError(f"{prefix}{key} is in settings and in evaluate: give it once")
    if not row.trained and row.seeds:
        raise UserError(f"{prefix}seeds has no use in an untrained row: leave it out")
    if not row.trained and row.evaluate:
        raise UserError(f"{prefix}evaluate has no use in an untrained row: put it into settings")
    return row


def _grid(content: Mapping[str, Any], tables: Sequence[Table]) -> Grid:
    section = _get(content, "grid", dict)
    check_keys(section, "grid.", ("table", "images", "systems"), required=("table", "images"))
    name = _get(section, "table", str, "grid.")
    _check_names([name], tables, "key grid.table")
    systems = tuple(_get(section, "systems", list, "grid.", []))
    known = [row.system for table in tables if table.name == name for row in table.rows]
    for system in systems:
        if system not in known:
            raise UserError(f"key grid.systems: {system!r} is not in the table {name}")
    images = _count(section, "images", "grid.")
    assert images is not None
    return Grid(name, images, systems)


def _settings(section: Mapping[str, Any], key: str, prefix: str = "") -> dict[str, Any]:
    """Configuration keys and values; {} where there is no such section."""
    settings: dict[str, Any] = _get(section, key, dict, prefix, {})
    for name, value in settings.items():
        if not isinstance(name, str) or value is None or isinstance(value, dict):
            raise UserError(
                f"key {prefix}{key}.{name} is {value!r}, but has to be a number, a text, true, "
                "false or a list under a configuration key"
            )
    return settings


def _commands(section: Mapping[str, Any], prefix: str) -> dict[str, tuple[str, ...]]:
    commands: dict[Any, Any] = _get(section, "prepare", dict, prefix, {})
    for name in commands:
        words = _get(commands, name, list, f"{prefix}prepare.")
        if not any("{output}" in str(word) for word in words):
            raise UserError(
                f"key {prefix}prepare.{name} has to hold a program and, among its arguments, "
                "{output}, the file it writes"
            )
    return {str(name): tuple(map(str, words)) for name, words in commands.items()}


def _seeds(seeds: Any, where: str) -> tuple[int, ...]:
    valid = isinstance(seeds, list) and seeds and len({*map(str, seeds)}) == len(seeds)
    # a negative seed lets Detectron2 draw one, and no run could be repeated
    if not valid or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise UserError(f"{where} is {seeds!r}, but has to be different whole numbers of 0 or more")
    return tuple(seeds)


def _check_names(names: Sequence[str], tables: Sequence[Table], where: str) -> None:
    known = [table.name for table in tables]
    for name in names:
        if name not in known:
            raise UserError(f"{where}: there is no table {name!r}, there are {', '.join(known)}")


def _get(
    section: Mapping[Any, Any], key: Any, kind: type, prefix: str = "", default: Any = None
) -> Any:
    """The value of a key, which has to be of `kind`; `default` where there is no such key."""
    return typed(section, key, kind, _KINDS[kind], prefix) if key in section else default


def _count(section: Mapping[Any, Any], key: str, prefix: str) -> int | None:
    if key not in section:
        return None
    value: int = typed(section, key, int, "a whole number of 1 or more", prefix)
    if value < 1:
        raise UserError(f"key {prefix}{key} is {value}, but has to be 1 or more")
    return value
