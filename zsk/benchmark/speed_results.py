"""The list of measurements, as it is kept in a JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from zsk.errors import UserError
from zsk.evaluation.report import write_atomically
from zsk.profiling import REST

RESULTS_FILE = "speed.json"
PARTIAL_FILE = "speed.partial.json"


@dataclass(frozen=True)
class Measurement:
    """One variant under one setting.

    Attributes:
        device, measure, variant, settings: what was measured, where.
        median_seconds, min_seconds, max_seconds: of `runs` runs; per photo, per step in training.
        ratio_to_reference: of the median to that of the reference beside it (below 1: faster);
            None where there is none.
        peak_mb: highest memory while it ran, in 10⁶ bytes: the process's, weights and libraries
            included, or what was allocated on the GPU.
        libraries_mb: of it what the process took before it built anything; 0 on a GPU.
        gflops: 10⁹ floating-point operations per photo (per step in training), 2 per multiply-add.
        revision, date: the commit and the day (UTC).
        half: in half precision.
        params, model_mb: all weights as built, CLIP's but its text tower's included, and 10⁶
            bytes that they take.
        crops: that went through CLIP, per photo.
        parts: seconds of the parts of the median run.
    """

    device: str
    measure: str
    variant: str
    settings: dict[str, Any]
    median_seconds: float
    min_seconds: float
    max_seconds: float
    ratio_to_reference: float | None
    peak_mb: float
    libraries_mb: float
    gflops: float
    revision: str
    date: str
    runs: int
    half: bool
    params: int
    model_mb: float
    crops: float
    parts: dict[str, float]

    @property
    def times_faster(self) -> float | None:
        """Than the reference beside it."""
        return 1 / self.ratio_to_reference if self.ratio_to_reference else None


def part_names(results: Sequence[Measurement]) -> list[str]:
    """Names of all parts, what is left of the model last."""
    names = list(dict.fromkeys(name for result in results for name in result.parts))
    return sorted(names, key=lambda name: name == REST)


def write_results(results: Sequence[Measurement], folder: Path) -> None:
    """Write RESULTS_FILE; the folder exists."""
    text = json.dumps([asdict(result) for result in results], indent=1, allow_nan=False) + "\n"
    write_atomically(folder / RESULTS_FILE, text.encode())


def read_results(folder: Path) -> list[Measurement]:
    """The measurements in a folder's RESULTS_FILE.

    Raises:
        UserError: it is missing, damaged or holds something else.
    """
    path = folder / RESULTS_FILE
    try:
        return [Measurement(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        names = ", ".join(field.name for field in fields(Measurement))
        raise UserError(
            f"{path} cannot be read ({error}): it has to be a list of objects with {names}"
        ) from error


class Partial:
    """The finished points of a run that is under way, so that a stopped one can go on.

    They serve the same code on the same device only; another one starts afresh, and so does code
    with changes that are not committed: nobody can tell what they were.
    """

    def __init__(self, folder: Path, revision: str, device: str) -> None:
        self._path = folder / PARTIAL_FILE
        self._of = [revision, device]
        self._points: dict[str, list[dict[str, Any]]] = {}
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            if kept["of"] == self._of and not revision.endswith("-dirty"):
                self._points = kept["points"]
        except (OSError, ValueError, LookupError, TypeError):
            pass  # nothing that could be gone on with

    def get(self, key: str) -> list[Measurement] | None:
        """A finished point's measurements."""
        kept = self._points.get(key)
        return None if kept is None else [Measurement(**entry) for entry in kept]

    def add(self, key: str, found: Sequence[Measurement]) -> None:
        """Keep a finished point."""
        self._points[key] = [asdict(measurement) for measurement in found]
        content = json.dumps({"of": self._of, "points": self._points})
        write_atomically(self._path, content.encode())

    def remove(self) -> None:
        """The run is over."""
        self._path.unlink(missing_ok=True)
