"""Reads the definition of a benchmark's tables from a YAML file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark.accuracy.rows import CURVES, Definition, Row, Start, Table
from benchmark.accuracy.sections import QUICK, ROW, START, TABLE, TOP, read_section

from zsk.errors import UserError
from zsk.settings.strict_yaml import read_yaml


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
    chosen = read_section(content, "", TOP, required=("tables",))
    folder = file.resolve().parent
    tables = tuple(_table(str(name), table, folder) for name, table in content["tables"].items())
    if not tables:
        raise UserError("key tables is empty: give one table at least")
    chosen["tables"] = [table.name for table in tables]
    prefix = ""
    if quick:
        if "quick" not in content:
            raise UserError("it has no section quick, which --quick reads: add it")
        prefix, own = "quick.", read_section(content["quick"], "quick.", QUICK)
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
    )


def _table(name: str, section: Any, folder: Path) -> Table:
    prefix = f"tables.{name}."
    values = read_section(section, prefix, TABLE, required=("rows",))
    common = values.get("settings", {})
    listed = enumerate(values["rows"], 1)
    rows = tuple(_row(name, row, f"{prefix}rows: row {i}: ", folder, common) for i, row in listed)
    if not rows:
        raise UserError(f"key {prefix}rows is empty: give one row at least")
    identities = [row.identity for row in rows]
    for row in rows:
        if identities.count(row.identity) > 1:
            raise UserError(f"{row.where}: two rows are the same, give one another system name")
        if row.reported and "reported" not in values:
            raise UserError(
                f"{row.where} has reported numbers: name their benchmark in key {prefix}reported"
            )
    table = Table(**{"title": name, "plot": "", **values, "name": name, "rows": rows})
    if table.plot not in ("", CURVES) and not any(table.plot in row.shown_settings for row in rows):
        raise UserError(
            f"{prefix}plot is {table.plot!r}, which no row sets: give {CURVES!r} or the key that "
            "the rows vary"
        )
    for row in rows if table.plot else ():
        if isinstance(row.shown_settings.get(table.plot), list):
            raise UserError(f"{prefix}plot: {row.where} has a list, which has no place on an axis")
    if table.logarithmic:
        values = [row.shown_settings.get(table.plot, 1) for row in rows]
        if table.plot in ("", CURVES) or any(type(v) not in (int, float) or v <= 0 for v in values):
            raise UserError(
                f"key {prefix}logarithmic is for a plot over a key of numbers over 0: name such a "
                "key in plot, or leave it out"
            )
    return table


def _row(table: str, section: Any, prefix: str, folder: Path, common: Mapping[str, Any]) -> Row:
    values = read_section(section, prefix, ROW, required=("system", "config"))
    values["config"] = _config(values, prefix, folder)
    if "from" in values:
        values["start"] = _start(values.pop("from"), f"{prefix}from.", folder)
    row = Row(table, common=common, **values)
    for key in row.evaluate:
        if key in row.settings:
            raise UserError(f"{prefix}{key} is in settings and in evaluate: give it once")
        if key.startswith(("SOLVER.", "MODEL.CRITERION.")):
            raise UserError(f"{prefix}{key} has no use in evaluate: put it into settings")
    if row.start and "MODEL.WEIGHTS" in row.settings:
        raise UserError(f"{prefix}MODEL.WEIGHTS is what from gives: give one of them")
    if not row.trained:
        places = {"seeds": "leave it out", "from": "leave it out"}
        places["evaluate"] = "put it into settings"
        for key, advice in places.items():
            if key in section:
                raise UserError(f"{prefix}{key} has no use in an untrained row: {advice}")
    return row


def _start(section: Any, prefix: str, folder: Path) -> Start:
    values = read_section(section, prefix, START, required=("config",))
    return Start(**{**values, "config": _config(values, prefix, folder)})


def _config(values: Mapping[str, Any], prefix: str, folder: Path) -> str:
    config = folder / values["config"]
    if not config.is_file():
        raise UserError(f"key {prefix}config: {config} does not exist")
    return os.path.abspath(config)


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
