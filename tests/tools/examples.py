"""Results, rows and definitions to test with."""

from typing import Any

from benchmark.accuracy.results import Result
from benchmark.accuracy.rows import Definition, Row, Table


def result(system: str = "A", seed: int = 1, hiou: float | None = 50.0, **changes: Any) -> Result:
    values: dict[str, Any] = {
        "table": "t",
        "system": system,
        "settings": {},
        "seed": seed,
        "miou_seen": 60.0,
        "miou_unseen": 40.0,
        "hiou": hiou,
        "pacc": 70.0,
        "proposal_recall_seen": None,
        "proposal_recall_unseen": None,
        "params": 1_250_000,
        "train_seconds": 100.0,
        "seconds_per_image": 0.25,
        "iterations": 300,
        "revision": "abc",
        "date": "2024-01-31",
        **changes,
    }
    return Result(**values)


def define(*rows: Row, plot: str = "", **changes: Any) -> Definition:
    """A definition of one table "t" with these rows."""
    values: dict[str, Any] = {
        "name": "tables.yaml",
        "tables": (Table("t", "Title", plot, rows),),
        "selected": ("t",),
        "seeds": (1, 2),
        "iterations": None,
        "settings": {},
        "prepare": {},
        **changes,
    }
    return Definition(**values)
