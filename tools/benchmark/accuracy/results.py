"""The results, one per row and seed, kept in a JSON file; and their means over seeds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from benchmark.accuracy.rows import RowKey, identity

from zsk.errors import UserError
from zsk.evaluation.report import write_atomically
from zsk.protocol import INDUCTIVE, PROTOCOL, noted_protocol

RESULTS_FILE = "accuracy.json"


@dataclass(frozen=True)
class Result:
    """One row with one seed; scores in percent, None where a system has no such number.

    `settings` tell the row from others of its system, `params` counts trained parameters,
    `revision` is the commit and `date` the day (UTC) of the evaluation. `protocol`: what
    the training used of unseen classes. `configuration`: that of
    `Definition.configuration_key`, and `device` what evaluated it; "" of results from before these
    were noted.
    """

    table: str
    system: str
    settings: dict[str, Any]
    seed: int
    miou_seen: float | None
    miou_unseen: float | None
    hiou: float | None
    pacc: float | None
    proposal_recall_seen: float | None
    proposal_recall_unseen: float | None
    params: int | None
    train_seconds: float | None
    seconds_per_image: float | None
    iterations: int | None
    revision: str
    date: str
    protocol: str = INDUCTIVE
    configuration: str = ""
    device: str = ""

    @property
    def row(self) -> RowKey:
        return identity(self.table, self.system, self.settings)


class Spread(NamedTuple):
    """Mean and sample standard deviation, None for a single value."""

    mean: float
    std: float | None


def spread(values: Iterable[float | None]) -> Spread | None:
    """Mean and deviation of the values that are not None; None where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None)


def by_row(results: Iterable[Result]) -> dict[RowKey, list[Result]]:
    """Results of one row together, in the order of their seeds."""
    rows: dict[RowKey, list[Result]] = {}
    for result in sorted(results, key=lambda result: result.seed):
        rows.setdefault(result.row, []).append(result)
    return rows


def merge(old: Sequence[Result], new: Sequence[Result]) -> list[Result]:
    """`old` with `new` instead of what has the same row and seed, sorted.

    Old results of a row that was trained with another configuration, or evaluated by other code or
    on another device, are dropped as well: their mean with the new ones would be of neither. An
    untrained row has one result, whatever the seed.
    """

    def made_by(result: Result) -> tuple[object, ...]:
        made = result.iterations, result.revision, result.configuration, result.device
        return made if result.iterations else (*made, result.seed)

    made = {result.row: made_by(result) for result in new}
    kept = [result for result in old if made.get(result.row) in (None, made_by(result))]
    merged = {(result.row, result.seed): result for result in [*kept, *new]}
    return [merged[key] for key in sorted(merged)]


def read_results(folder: Path) -> list[Result]:
    """The results in a folder's RESULTS_FILE; [] where there is none.

    Raises:
        UserError: the file is damaged or holds something else.
    """
    path = folder / RESULTS_FILE
    if not path.is_file():
        return []
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        for entry in entries:
            entry[PROTOCOL] = noted_protocol(entry)
            entry.pop("transductive", None)  # which older files note instead
        return [Result(**entry) for entry in entries]
    except (OSError, ValueError, TypeError, AttributeError, UserError) as error:
        names = ", ".join(field.name for field in fields(Result))
        raise UserError(
            f"{path} cannot be read ({error}): it has to be a list of objects with {names}; "
            "mend it, or move it away"
        ) from error


def write_results(results: Sequence[Result], folder: Path) -> None:
    """Write RESULTS_FILE."""
    text = json.dumps([asdict(result) for result in results], indent=1, allow_nan=False) + "\n"
    write_atomically(folder / RESULTS_FILE, text.encode())
