"""What a benchmark consists of: tables of rows, a row being a configuration and its settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Settings = Mapping[str, Any]
Commands = Mapping[str, tuple[str, ...]]
"""Programs to run before: name → words."""
RowKey = tuple[str, str, str]
"""What `identity` gives."""

CURVES = "learning curves"
"""The value of a table's key `plot` that draws scores over iterations."""


@dataclass(frozen=True)
class Start:
    """A training whose final weights another one starts from; `config` is an absolute path."""

    config: str
    settings: Settings = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One configuration in a table.

    Attributes:
        table, system: names; together with `shown_settings` they identify the row.
        config: absolute path of the configuration file.
        common: configuration keys of every row of the table, of trainings to start from, too.
        settings: configuration keys that change the training.
        evaluate: configuration keys that change the evaluation only.
        trained: False: the system is evaluated as it is.
        prepare: run before the training.
        seeds: how many of the benchmark's seeds the row takes at most, None for all.
        start: the training, with the same seed, that this one starts from, None for none.
        reported: what others print for the system: "hIoU", "seen" and "unseen" in percent, or {}.
    """

    table: str
    system: str
    config: str
    settings: Settings = field(default_factory=dict)
    evaluate: Settings = field(default_factory=dict)
    trained: bool = True
    prepare: Commands = field(default_factory=dict)
    seeds: int | None = None
    common: Settings = field(default_factory=dict)
    start: Start | None = None
    reported: Mapping[str, float] = field(default_factory=dict)

    @property
    def shown_settings(self) -> dict[str, Any]:
        """All settings of the row, with placeholders as they were written."""
        return {**self.settings, **self.evaluate}

    @property
    def identity(self) -> RowKey:
        return identity(self.table, self.system, self.shown_settings)

    @property
    def where(self) -> str:
        """The row's name in messages."""
        return f"table {self.table}, row {self.system!r} {describe(self.shown_settings)}".rstrip()


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name, title: the heading is the title.
        plot: "" (none), CURVES, or the key that its rows vary, the plot's x axis.
        rows: one at least, but for results that no definition knows.
        settings: configuration keys of every row.
        logarithmic: the plot's x axis.
        reported: the benchmark that the rows' reported numbers are of.
    """

    name: str
    title: str
    plot: str
    rows: tuple[Row, ...]
    settings: Settings = field(default_factory=dict)
    logarithmic: bool = False
    reported: str = ""


@dataclass(frozen=True)
class Definition:
    """A benchmark.

    Attributes:
        name: the file's name.
        tables: all of them.
        selected: names of those to run.
        seeds: of every trained row; an untrained one is evaluated with the first.
        iterations: SOLVER.MAX_ITER of every training, None for the configurations' own.
        settings: configuration keys of every row.
        prepare: run before all rows.
    """

    name: str
    tables: tuple[Table, ...]
    selected: tuple[str, ...]
    seeds: tuple[int, ...]
    iterations: int | None
    settings: Settings
    prepare: Commands

    def selected_rows(self) -> list[Row]:
        return [row for table in self.tables if table.name in self.selected for row in table.rows]

    def training_settings(self, row: Row, settings: Settings) -> Settings:
        """Configuration keys of a training for a row, whose own are `settings`."""
        budget = {} if self.iterations is None else {"SOLVER.MAX_ITER": self.iterations}
        return {**self.settings, **budget, **row.common, **settings}

    def configuration_key(self, row: Row) -> str:
        """12 hex digits of all that the definition says of a row's training and evaluation.

        Placeholders stay as they are written, so that the key is of all seeds and work folders;
        what files of the checkout hold is the revision's.
        """
        trainings = [(row.config, self.training_settings(row, row.settings))]
        if row.start:
            start = self.training_settings(row, row.start.settings)
            trainings.append((row.start.config, start))
        content = [
            *(
                ["/".join(Path(config).parts[-2:]), dict(settings)]
                for config, settings in trainings
            ),
            *([row.trained, dict(row.evaluate)], dict(self.prepare), dict(row.prepare)),
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def describe(settings: Settings) -> str:
    """Settings on one line, "" for none."""
    return ", ".join(f"{key} {repr(v) if v == '' else v}" for key, v in settings.items())


def identity(table: str, system: str, settings: Settings) -> RowKey:
    """Equal for two results of one row, whatever the order of its settings."""
    return table, system, json.dumps(settings, sort_keys=True)
