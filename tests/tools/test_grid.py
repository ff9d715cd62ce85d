"""The picture of photos, ground truth and predictions."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from benchmark.accuracy.grid import draw_grid, grid_trials
from benchmark.accuracy.plan import Trial
from benchmark.accuracy.rows import Grid, Row
from benchmark.accuracy.runs import FINISHED_FILE, Job
from PIL import Image

from zsk.data.register import register_zero_shot_split
from zsk.vocabulary import Vocabulary

NAME = "grid_val"
VOCABULARY = Vocabulary(("left", "right"), ("left", "right"), (True, False))


@pytest.fixture
def make_trial(tmp_path: Path):
    """Two photos of 40x20 pixels, labelled left and right, and runs that predict one class."""
    labels = (np.arange(40) >= 20).astype(np.uint8)[None].repeat(20, axis=0)
    for folder in ("photos", "labels"):
        (tmp_path / folder).mkdir()
        for stem in ("a", "b"):
            Image.fromarray(labels).save(tmp_path / folder / f"{stem}.png")
    register_zero_shot_split(
        NAME, tmp_path / "photos", tmp_path / "labels", VOCABULARY, training=False
    )
    cfg = SimpleNamespace(DATASETS=SimpleNamespace(TEST=(NAME,)))

    def make(system: str, label: int = 0, seed: int = 1, table: str = "t") -> Trial:
        job = Job(system, "train", tmp_path / f"{table}_{system}_{seed}", Path("a.py"), ())
        trial = Trial(Row(table, system, "a.yaml"), seed, job, job, cfg, VOCABULARY)
        (trial.inference / "predictions").mkdir(parents=True)
        for stem in ("a", "b"):
            path = trial.inference / "predictions" / f"{stem}.png"
            Image.fromarray(np.full_like(labels, label)).save(path)
        (job.folder / FINISHED_FILE).write_text("{}")
        return trial

    return make


def test_chosen_are_finished_first_seeds_of_the_table(make_trial) -> None:
    a, again, b = make_trial("A"), make_trial("A", seed=2), make_trial("B")
    other, unfinished = make_trial("C", table="u"), make_trial("D")
    (unfinished.evaluate.folder / FINISHED_FILE).unlink()
    trials = [a, again, b, other, unfinished]
    assert grid_trials(Grid("t", 1, ()), trials) == [a, b]
    assert grid_trials(Grid("t", 1, ("B",)), trials) == [b]
    assert grid_trials(Grid("none", 1, ()), trials) == []


def test_columns_and_rows(make_trial) -> None:
    """Panels are 256x128; of three images asked for, there are two."""
    trials = [make_trial("A", 0), make_trial("B", 1)]
    picture = draw_grid(trials, 3)
    assert picture.size == (4 * 262 - 6, 22 + 2 * 134 - 6)
    left, right, a, b = (
        picture.getpixel((column * 262 + x, 22 + 134 + 20))
        for column, x in ((1, 20), (1, 236), (2, 20), (3, 236))
    )
    assert left == a and right == b and left != right
