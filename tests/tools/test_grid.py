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
from zsk.visualization import label_image
from zsk.vocabulary import Vocabulary

NAME = "grid_val"
VOCABULARY = Vocabulary(("left", "right"), ("left", "right"), (True, False))


@pytest.fixture
def make_trial(tmp_path: Path):
    """Two photos of 40x20 pixels, red left and blue right, and runs that predict one class."""
    pixels = np.zeros((20, 40, 3), dtype=np.uint8)
    pixels[:, :20, 0], pixels[:, 20:, 2] = 255, 255
    labels = (np.arange(40) >= 20).astype(np.uint8)[None].repeat(20, axis=0)
    for folder, content in (("photos", pixels), ("labels", labels)):
        (tmp_path / folder).mkdir()
        for stem in ("a", "b"):
            Image.fromarray(content).save(tmp_path / folder / f"{stem}.png")
    register_zero_shot_split(
        NAME, tmp_path / "photos", tmp_path / "labels", VOCABULARY, training=False
    )
    cfg = SimpleNamespace(DATASETS=SimpleNamespace(TEST=(NAME,)))

    def make(system: str, label: int, seed: int = 1, table: str = "t") -> Trial:
        folder = tmp_path / f"{table}_{system}_{seed}"
        job = Job(system, "train", folder, Path("train_net.py"), ())
        trial = Trial(Row(table, system, "a.yaml"), seed, job, job, cfg, VOCABULARY)
        (trial.inference / "predictions").mkdir(parents=True)
        for stem in ("a", "b"):
            path = trial.inference / "predictions" / f"{stem}.png"
            label_image(np.full((20, 40), label), 2).save(path)
        (folder / FINISHED_FILE).write_text("{}")
        return trial

    return make


def test_chosen_are_finished_first_seeds_of_the_table(make_trial) -> None:
    a, again, b = make_trial("A", 0), make_trial("A", 0, seed=2), make_trial("B", 1)
    other, unfinished = make_trial("C", 0, table="u"), make_trial("D", 0)
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
    assert draw_grid(trials, 1).size == (4 * 262 - 6, 22 + 128)

    def colour(column: int, x: int, row: int = 0) -> tuple[int, ...]:
        return picture.getpixel((column * 262 + x, 22 + row * 134 + 20))

    assert colour(0, 20)[0] > 200 > colour(0, 20)[2]  # the photo: red, then blue
    assert colour(0, 236)[2] > 200 > colour(0, 236)[0]
    left, right = colour(1, 20), colour(1, 236)
    assert np.abs(np.subtract(left, right)).max() > 60
    # both halves differ in grey alone where one class is predicted
    assert np.abs(np.subtract(colour(2, 20, 1), left)).max() < 10
    assert np.abs(np.subtract(colour(3, 236, 1), right)).max() < 10
