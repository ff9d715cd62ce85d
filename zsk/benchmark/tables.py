"""Reads the definition of a benchmark's tables: which configurations stand in which table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zsk.benchmark.rows import Definition, Grid, Row, Table
from zsk.errors import UserError
from zsk.strict_yaml import check_keys, read_yaml, typed

_TOP_KEYS = ("seeds", "iterations", "settings", "prepare", "tables", "grid", "quick")
_QUICK_KEYS = ("tables", "seeds", "iterations", "settings", "prepare")
_TABLE_KEYS = ("title", "plot", "rows")
_ROW_KEYS = ("system", "config", "settings", "evaluate", "trained", "prepare", "seeds")
_GRID_KEYS = ("table", "images", "systems")
_DEFAULT_SEEDS = (1, 2, 3)


def read_definition(
    path: str | os.PathLike[str],
    *,
    quick: bool = False,
    tables: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
) -> Definition:
    """Read and check a definition; docs of the keys are in configs/synthetic/tables.yaml.

    Args:
        path: the YAML file; rows name configurations relative to its folder.
        quick: the file's section "quick" replaces tables, seeds, iterations and preparations, and
            adds its settings.
        tables, seeds: instead of the file's; None takes those.

    Raises:
        UserError: naming the file and the key, when it is missing, no YAML, or a key is missing,
            unknown, of a wrong type or contradicts another.
    """
    file = Path(path)
    try:
        content = read_yaml(file)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: name a definition (--definition)") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    try:
        definition = _definition(content, file, quick)
        if tables is not None:
            _check_selected(tables, definition.tables, "--tables")
            definition = replace(definition, selected=tuple(tables))
        if seeds is not None:
            definition = replace(definition, seeds=_seeds(list(seeds), "--seeds"))
        return definition
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _definition(content: Any, file: Path, quick: bool) -> Definition:
    if not isinstance(content, dict):
        raise UserError("it holds no keys: configs/synthetic/tables.yaml is an example")
    check_keys(content, "", _TOP_KEYS, required=("tables",))
    sections = _section(content, "tables", "", "a section of tables")
    tables = tuple(_table(name, sections, file.resolve().parent) for name in sections)
    if not tables:
        raise UserError("key tables is empty: give one table at least")
    chosen, prefix, settings = content, "", _settings(content, "settings")
    if quick:
        if "quick" not in content:
            raise UserError("it has no section quick, which --quick reads: add it")
        chosen, prefix = _section(content, "quick", "", "a section of keys"), "quick."
        check_keys(chosen, prefix, _QUICK_KEYS)
        settings = {**settings, **_settings(chosen, "settings", prefix)}
        chosen = {"prepare": content.get("prepare", {}), **chosen}
    selected = [table.name for table in tables]
    if quick and "tables" in chosen:
        selected = typed(chosen, "tables", list, "a list of tables", prefix)
        _check_selected(selected, tables, f"key {prefix}tables")
    iterations = None
    if "iterations" in chosen:
        iterations = _positive(chosen, "iterations", prefix)
    return Definition(
        name=file.name,
        tables=tables,
        selected=tuple(selected),
        seeds=_seeds(chosen.get("seeds", list(_DEFAULT_SEEDS)), f"key {prefix}seeds"),
        iterations=iterations,
        settings=settings,
        prepare=_commands(chosen, prefix),
        grid=_grid(content, tables) if "grid" in content else None,
    )


def _table(name: Any, sections: Mapping[str, Any], folder: Path) -> Table:
    prefix = f"tables.{name}."
    section = _section(sections, name, "tables.", "a section of keys")
    check_keys(section, prefix, _TABLE_KEYS, required=("rows",))
    rows = typed(section, "rows", list, "a list of rows", prefix)
    table = Table(
        name=str(name),
        title=_text(section, "title", prefix) if "title" in section else str(name),
        plot=_text(section, "plot", prefix) if "plot" in section else "",
        rows=tuple(
            _row(str(name), row, f"{prefix}rows: row {i}: ", folder)
            for i, row in enumerate(rows, 1)
        ),
    )
    if not table.rows:
        raise UserError(f"key {prefix}rows is empty: give one row at least")
    identities = [row.identity for row in table.rows]
    for row in table.rows:
        if identities.count(row.identity) > 1:
            raise UserError(f"{row.where}: two rows are the same, give one another system name")
    return table


def _row(table: str, section: Any, prefix: str, folder: Path) -> Row:
    if not isinstance(section, dict):
        raise UserError(f"key {prefix}{section!r} is no section of keys")
    check_keys(section, prefix, _ROW_KEYS, required=("system", "config"))
    trained = (
        typed(section, "trained", bool, "true or false", prefix) if "trained" in section else True
    )
    config = folder / _text(section, "config", prefix)
    row = Row(
        table=table,
        system=_text(section, "system", prefix),
        config=os.path.abspath(config),
        settings=_settings(section, "settings", prefix),
        evaluate=_settings(section, "evaluate", prefix),
        trained=trained,
        prepare=_commands(section, prefix),
        seeds=_positive(section, "seeds", prefix) if "seeds" in section else None,
    )
    if not config.is_file():
        raise UserError(f"key {prefix}config: {config} does not exist")
    for key in row.evaluate:
        if key in row.settings:
            raise UserError(f"{prefix}{key} is in settings and in evaluate: give it once")
    if not trained and row.seeds:
        raise UserError(f"{prefix}seeds has no use in an untrained row: leave it out")
    if not trained and row.evaluate:
        raise UserError(f"{prefix}evaluate has no use in an untrained row: put it into settings")
    return row


def _settings(section: Mapping[str, Any], key: str, prefix: str = "") -> dict[str, Any]:
    """Configuration keys and values; {} where there is no such section."""
    if key not in section:
        return {}
    settings = _section(section, key, prefix, "a section of configuration keys")
    for name, value in settings.items():
        if not isinstance(name, str) or value is None or isinstance(value, dict):
            raise UserError(
                f"key {prefix}{key}.{name} is {value!r}, but has to be a number, a text, true, "
                "false or a list under a configuration key"
            )
    return dict(settings)


def _commands(section: Mapping[str, Any], prefix: str) -> dict[str, tuple[str, ...]]:
    if "prepare" not in section:
        return {}
    commands = _section(section, "prepare", prefix, "a section of commands")
    for name in commands:
        words = typed(commands, name, list, "a list of words", f"{prefix}prepare.")
        if not words:
            raise UserError(f"key {prefix}prepare.{name} is empty: give a program and arguments")
    return {str(name): tuple(map(str, words)) for name, words in commands.items()}


def _grid(content: Mapping[str, Any], tables: Sequence[Table]) -> Grid:
    section = _section(content, "grid", "", "a section of keys")
    check_keys(section, "grid.", _GRID_KEYS, required=("table", "images"))
    name = _text(section, "table", "grid.")
    _check_selected([name], tables, "key grid.table")
    systems = section.get("systems", [])
    known = [row.system for table in tables if table.name == name for row in table.rows]
    for system in typed({"systems": systems}, "systems", list, "a list of systems", "grid."):
        if system not in known:
            raise UserError(f"key grid.systems: {system!r} is not in the table {name}")
    return Grid(name, _positive(section, "images", "grid."), tuple(systems))


def _seeds(seeds: Any, where: str) -> tuple[int, ...]:
    valid = isinstance(seeds, list) and seeds and len({*map(str, seeds)}) == len(seeds)
    # a negative seed lets Detectron2 draw one, and no run could be repeated
    if not valid or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise UserError(f"{where} is {seeds!r}, but has to be different whole numbers of 0 or more")
    return tuple(seeds)


def _check_selected(names: Sequence[str], tables: Sequence[Table], where: str) -> None:
    known = [table.name for table in tables]
    for name in names:
        if name not in known:
            raise UserError(f"{where}: there is no table {name!r}, there are {', '.join(known)}")


def _section(section: Mapping[Any, Any], key: Any, prefix: str, what: str) -> dict[Any, Any]:
    return typed(section, key, dict, what, prefix)


def _text(section: Mapping[Any, Any], key: str, prefix: str) -> str:
    return typed(section, key, str, "a text in quotes", prefix)


def _positive(section: Mapping[Any, Any], key: str, prefix: str) -> int:
    value = typed(section, key, int, "a whole number of 1 or more", prefix)
    if value < 1:
        raise UserError(f"key {prefix}{key} is {value}, but has to be 1 or more")
    return value
