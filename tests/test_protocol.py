"""What a training used of unseen classes: noted in weights, told whatever evaluates them."""

import logging

import pytest
import torch

from zsk.cli import train
from zsk.config import default_config
from zsk.data.register import register_zero_shot_split
from zsk.data.splits import make_vocabulary
from zsk.engine import trained_model
from zsk.engine.checkpoint import load_weights
from zsk.engine.initial_weights import initial_weights
from zsk.engine.start_checks import warn_of_leaked_layout, warn_of_unlabelled
from zsk.engine.trained_model import load_trained
from zsk.engine.trainer import protocol_of_start
from zsk.errors import UserError
from zsk.protocol import INDUCTIVE, LEAK, TRANSDUCTIVE, loosest, noted_protocol


@pytest.mark.parametrize(
    "noted, self_training, leak, told",
    [
        # weights without notes are what the configuration says
        ({}, False, False, INDUCTIVE),
        ({}, True, False, TRANSDUCTIVE),
        ({}, False, True, LEAK),
        ({"protocol": TRANSDUCTIVE}, False, False, TRANSDUCTIVE),
        ({"protocol": LEAK}, False, False, LEAK),
        ({"protocol": LEAK}, True, False, LEAK),
        ({"protocol": INDUCTIVE}, False, True, INDUCTIVE),
        # of a time before leaks, and before self-training
        ({"transductive": True}, False, False, TRANSDUCTIVE),
        ({"transductive": False}, True, False, INDUCTIVE),
        ({"SEED": 1}, True, False, INDUCTIVE),
    ],
)
def test_weights_keep_their_protocol(noted, self_training, leak, told, tmp_path, monkeypatch):
    cfg = default_config()
    cfg.SELF_TRAINING.ENABLED, cfg.DATASETS.LEAK_UNSEEN_LAYOUT = self_training, leak
    model = torch.nn.Linear(1, 1)
    content = {"model": model.state_dict(), **({"trainer": {"settings": noted}} if noted else {})}
    torch.save(content, tmp_path / "a.pth")
    trained, reported = load_weights(model, str(tmp_path / "a.pth")), []
    monkeypatch.setattr(train, "load_trained", lambda _: (model, trained))
    monkeypatch.setattr(train.Trainer, "test", lambda *given: reported.append(given[2]))
    cfg.DATASETS.TEST = ("pets",)
    train.evaluate(cfg)
    assert reported == [told]
    # a training that starts from them gets the same notes
    assert initial_weights(model, str(tmp_path / "a.pth"), 0.0) == noted


def test_masks_of_unseen_classes_in_the_weights_at_the_start_are_a_leak(caplog) -> None:
    classes = make_vocabulary(["cat", "cow", "dog"], unseen=["cow"])
    with caplog.at_level(logging.WARNING, "zsk"):
        for learned in ([], ["cat", "dog"], ["horse"], [1, None], 5, None):
            assert protocol_of_start(classes, INDUCTIVE, {"classes": learned}) == INDUCTIVE
        assert not caplog.messages
        noted = {"classes": ["cat", "Cow"], "protocol": INDUCTIVE}
        assert protocol_of_start(classes, INDUCTIVE, noted) == LEAK
    assert "no zero-shot scores: cow" in caplog.text


def test_the_teacher_is_not_taken_for_what_learned_from_it(monkeypatch) -> None:
    cfg, notes = default_config(), {}
    cfg.SELF_TRAINING.ENABLED, cfg.MODEL.WEIGHTS = True, "teacher.pth"
    for name, answer in (("build_model", torch.nn.Linear(1, 1)), ("load_weights", notes)):
        monkeypatch.setattr(trained_model, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(trained_model, "check_network_settings", lambda *_: None)
    load_trained(cfg)  # a file without notes may be anything
    notes["protocol"] = TRANSDUCTIVE
    load_trained(cfg)
    notes["protocol"] = INDUCTIVE
    load_trained(cfg, teacher=True)
    with pytest.raises(UserError, match="teacher.pth did not learn by self-training: .*_final.pth"):
        load_trained(cfg)


def test_a_leak_outlasts_everything() -> None:
    assert loosest(INDUCTIVE, TRANSDUCTIVE) == TRANSDUCTIVE
    assert loosest(LEAK, TRANSDUCTIVE) == loosest(INDUCTIVE, LEAK) == LEAK


@pytest.mark.parametrize(
    "value", ["zero-shot", " ", "inductive (but masks of unseen classes)", None, []]
)
def test_an_unknown_protocol_is_not_taken_for_an_inductive_one(value) -> None:
    with pytest.raises(UserError, match="has to be one of inductive, transductive"):
        noted_protocol({"protocol": value})


def test_a_training_with_a_leak_says_so(tmp_path, caplog) -> None:
    cfg = default_config()
    for name, unseen in (("pets", ["cow"]), ("all seen", [])):
        classes = make_vocabulary(["cat", "cow"], unseen=unseen)
        register_zero_shot_split(name, tmp_path, tmp_path, classes, training=True)
    cfg.DATASETS.TRAIN = ("pets",)
    with caplog.at_level(logging.WARNING, "zsk"):
        warn_of_leaked_layout(cfg)
    (message,) = caplog.messages
    assert "THIS IS A LEAK" in message and "no zero-shot results" in message
    assert "*_seen folders hold none" in message
    cfg.DATASETS.TRAIN = ("all seen",)
    with pytest.raises(UserError, match="every class of DATASETS.TRAIN is seen: there is nothing"):
        warn_of_leaked_layout(cfg)


@pytest.mark.parametrize(
    "opts, share, warned",
    [
        ((), 0.7, True),
        ((), 0.3, False),
        (("MODEL.CRITERION.IGNORE_AWARE", "False"), 0.7, False),
        (("MODEL.META_ARCHITECTURE", "PerPixelNet"), 0.7, False),
    ],
)
def test_masks_that_may_grow_over_the_background(opts, share, warned, caplog) -> None:
    cfg = default_config()
    cfg.merge_from_list(list(opts))
    warn_of_unlabelled(cfg, {"pets": share})
    assert ("about 70% of the pixels of pets have no label" in caplog.text) is warned
