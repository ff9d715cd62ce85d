"""Seconds by part, on a clock that only the test's parts move."""

import logging

import pytest
import torch
from torch import nn

from zsk import profiling
from zsk.profiling import EvaluationProfile, PartClock, parts_table, profiled, replaced, timed_parts


class Hours:
    """The clock of a test."""

    def __init__(self) -> None:
        self.now = 0.0


@pytest.fixture
def hours(monkeypatch) -> Hours:
    clock = Hours()
    monkeypatch.setattr(profiling, "synchronised_now", lambda: clock.now)
    return clock


class Part(nn.Module):
    """Takes `seconds` whenever it is called."""

    def __init__(self, hours: Hours, seconds: float) -> None:
        super().__init__()
        self.hours, self.seconds = hours, seconds

    def forward(self) -> None:
        self.hours.now += self.seconds

    def classify(self) -> None:
        self()


class Model(nn.Module):
    """Backbone 1 s, text 2 s, head 4 s, CLIP 8 s, and 16 s of its own."""

    def __init__(self, hours: Hours) -> None:
        super().__init__()
        self.hours = hours
        self.backbone, self.text_classifier = Part(hours, 1.0), Part(hours, 2.0)
        self.sem_seg_head, self.region_classifier = Part(hours, 4.0), Part(hours, 8.0)

    def forward(self, batched_inputs: list) -> list:
        self.text_classifier()
        self.backbone()
        self.sem_seg_head()
        self.region_classifier.classify()
        self.hours.now += 16.0
        return batched_inputs


class Wrapper(nn.Module):
    """As test-time augmentation or DistributedDataParallel: 32 s around a model."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, batched_inputs: list) -> list:
        self.model.hours.now += 32.0
        return self.model(batched_inputs)


class Evaluator:
    """Takes 64 s for each batch and 128 s at the end."""

    def __init__(self, hours: Hours) -> None:
        self.hours = hours

    def reset(self) -> None:
        pass

    def process(self, inputs: list, outputs: list) -> None:
        self.hours.now += 64.0

    def evaluate(self) -> str:
        self.hours.now += 128.0
        return "numbers"


PARTS = {"text": 2.0, "backbone": 1.0, "proposals": 4.0, "CLIP": 8.0, "post-processing": 16.0}


def evaluate(model: nn.Module, evaluator: Evaluator, batches: list[list], load: float) -> str:
    """As Detectron2's loop: every batch takes `load` seconds to come."""
    evaluator.reset()
    for batch in batches:
        evaluator.hours.now += load
        evaluator.process(batch, model(batch))
    return evaluator.evaluate()


def test_time_of_a_part_within_a_part_is_its_own(hours: Hours) -> None:
    """1 s outside, 2 s inside, 4 s outside again; then 8 s that nobody asked about."""
    clock = PartClock()
    with clock.part("outside"):
        hours.now += 1
        with clock.part("inside"):
            hours.now += 2
        hours.now += 4
    hours.now += 8
    with clock.part("inside"):
        hours.now += 16
    assert clock.seconds == {"outside": 5.0, "inside": 18.0}


def test_a_part_that_fails_is_over(hours: Hours) -> None:
    clock = PartClock()
    with pytest.raises(ValueError), clock.part("broken"):
        hours.now += 1
        raise ValueError
    hours.now += 2
    with clock.part("next"):
        hours.now += 4
    assert clock.seconds == {"broken": 1.0, "next": 4.0}


def test_parts_of_a_model(hours: Hours) -> None:
    model, clock = Model(hours), PartClock()
    with timed_parts(clock, model):
        assert model([7]) == [7]
    assert clock.seconds == PARTS
    model([7])  # nothing is left behind
    assert clock.seconds == PARTS
    assert "forward" not in vars(model) and "classify" not in vars(model.region_classifier)


def test_parts_that_a_model_lacks(hours: Hours) -> None:
    model, clock = Model(hours), PartClock()
    model.backbone = None  # as of PerPixelNet in mode clip
    model.forward = lambda batch: model.region_classifier.classify()
    with timed_parts(clock, model):
        model([7])
    assert clock.seconds == {"post-processing": 0.0, "CLIP": 8.0}


def test_replaced_nests() -> None:
    part = Part(Hours(), 0.0)
    with replaced(part, "forward", lambda: 1):
        with replaced(part, "forward", lambda: 2):
            assert part() == 2
        assert part() == 1
    assert part() is None


def test_an_evaluation(hours: Hours) -> None:
    """Two batches, three images; 256 s of loading each."""
    model, evaluator, profile = Model(hours), Evaluator(hours), EvaluationProfile()
    with profile.attached(model, [evaluator]):
        hours.now += 1000.0  # before anything begins: nobody's
        assert evaluate(model, evaluator, [[1, 2], [3]], 256.0) == "numbers"
    assert profile.images == 3
    assert list(profile.seconds.items()) == [
        ("loader", 512.0),
        ("backbone", 2.0),
        ("proposals", 8.0),
        ("text", 4.0),
        ("CLIP", 16.0),
        ("post-processing", 32.0),
        ("evaluator", 256.0),
    ]


def test_a_wrapped_model_and_two_data_sets(hours: Hours) -> None:
    """The wrapper's 32 s are post-processing as well; what lies between data sets is nobody's."""
    model, evaluators = Wrapper(Model(hours)), [Evaluator(hours), Evaluator(hours)]
    profile = EvaluationProfile()
    with profile.attached(model, evaluators):
        for evaluator in evaluators:
            hours.now += 1000.0
            evaluate(model, evaluator, [[1]], 256.0)
    assert profile.images == 2
    assert profile.seconds["loader"] == 512.0
    assert profile.seconds["post-processing"] == 2 * (16.0 + 32.0)
    assert profile.seconds["evaluator"] == 2 * (64.0 + 128.0)


def test_the_table() -> None:
    """6 s and 2 s over 4 images."""
    lines = parts_table({"CLIP": 6.0, "loader": 2.0}, images=4).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["part", "seconds per image", "share"]
    assert cells[2:] == [
        ["CLIP", "1.5000", "75.0%"],
        ["loader", "0.5000", "25.0%"],
        ["all", "2.0000", "100.0%"],
    ]


def test_no_time_at_all_has_no_share() -> None:
    assert "0.0%" in parts_table({"CLIP": 0.0}, images=1)


@pytest.mark.parametrize("enabled, lines", [(True, 1), (False, 0)])
def test_it_is_logged_when_asked_for(hours: Hours, caplog, enabled: bool, lines: int) -> None:
    model, evaluator = Model(hours), Evaluator(hours)
    with caplog.at_level(logging.INFO, logger="zsk"):
        with profiled(enabled, model, [evaluator]):
            evaluate(model, evaluator, [[1]], 1.0)
    assert len(caplog.records) == lines
    assert all("1 images" in record.message for record in caplog.records)


def test_no_image_no_table(hours: Hours, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="zsk"), profiled(True, Model(hours), []):
        pass
    assert not caplog.records


def test_hooks_still_see_the_forward(hours: Hours) -> None:
    model, seen = Model(hours), []
    model.register_forward_hook(lambda module, args, results: seen.append(len(results)))
    with EvaluationProfile().attached(model, []), torch.inference_mode():
        model([1, 2])
    assert seen == [2]
