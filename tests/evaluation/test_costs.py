"""Parameters and seconds per image, written beside an evaluation."""

import json
from pathlib import Path

import pytest
from torch import nn

from zsk.evaluation import costs


class Slow(nn.Module):
    """Takes as many seconds as its inputs say, on a clock that only it moves."""

    def __init__(self, clock: list[float]) -> None:
        super().__init__()
        self.clock = clock
        self.trained = nn.Linear(3, 2)  # 8 numbers
        self.frozen = nn.Linear(3, 2).requires_grad_(False)

    def forward(self, seconds: list[float]) -> list[float]:
        self.clock[0] += sum(seconds)
        return seconds


@pytest.fixture
def model(monkeypatch) -> Slow:
    clock = [0.0]
    monkeypatch.setattr(costs, "_now", lambda: clock[0])
    return Slow(clock)


def read(folder: Path) -> dict:
    return json.loads((folder / "inference" / "costs.json").read_text())


def test_first_batches_are_left_out(model: Slow, tmp_path: Path) -> None:
    """Five slow ones do not count; then 2 s for two images and 4 s for one: 6 / 3."""
    with costs.measured(model, tmp_path):
        for batch in [[100.0]] * 5 + [[1.0, 1.0], [4.0]]:
            model(batch)
            model.clock[0] += 50  # loading and scoring
    assert read(tmp_path) == {"parameters": 8, "seconds_per_image": 2.0}
    model([7.0])  # no longer measured
    assert not model._forward_hooks and not model._forward_pre_hooks


def test_few_and_no_images(model: Slow, tmp_path: Path) -> None:
    with costs.measured(model, tmp_path):
        model([100.0])
        model([3.0])
    assert read(tmp_path)["seconds_per_image"] == 3.0
    with costs.measured(model, tmp_path):
        pass
    assert read(tmp_path)["seconds_per_image"] is None


def test_nothing_is_written_when_the_evaluation_fails(model: Slow, tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        with costs.measured(model, tmp_path):
            raise ValueError
    assert not (tmp_path / "inference").exists()
    assert not model._forward_hooks


def test_parameters() -> None:
    assert costs.trainable_parameters(nn.Identity()) == 0
    shared = nn.Linear(3, 2)
    assert costs.trainable_parameters(nn.Sequential(shared, shared)) == 8
