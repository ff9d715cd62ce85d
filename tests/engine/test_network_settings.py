"""Weights of the same shapes from another network are noticed."""

import logging
from argparse import Namespace

import pytest
import torch
from torch import nn

from zsk.config import default_config
from zsk.data.builtin import register_all
from zsk.data.register import register_zero_shot_split
from zsk.data.splits import make_vocabulary
from zsk.engine.checkpoint import load_weights
from zsk.engine.network_settings import (
    NETWORK_KEYS,
    check_network_settings,
    encoder_of,
    text_space,
)
from zsk.engine.settings import changes, training_settings
from zsk.errors import UserError
from zsk.safe_load import save_file

MULTI_GRID = ("MODEL.RESNETS.RES5_MULTI_GRID", "(1,1,1)")
HEAD = "MODEL.SEM_SEG_HEAD."
LINEAR = (HEAD + "CLASSIFIER", "linear")


@pytest.fixture(autouse=True)
def registered(tmp_path):
    register_all(tmp_path)


def configured(*opts):
    cfg = default_config()
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("voc_supervised_train",), ("voc_zs_val",)
    cfg.merge_from_list(list(opts))
    return cfg


def check(tmp_path, caplog, trained, opts):
    """The warnings for a checkpoint with the notes `trained` under the options `opts`."""
    model, path = nn.Linear(1, 1), str(tmp_path / "model.pth")
    torch.save({"model": model.state_dict(), **trained}, path)
    with caplog.at_level(logging.WARNING):
        noted = load_weights(model, path)
        check_network_settings(configured(*opts, "MODEL.WEIGHTS", path), noted, model)
    return [record.message for record in caplog.records]


def notes(*opts):
    return {"trainer": {"settings": training_settings(configured(*opts), 1)}}


@pytest.mark.parametrize(
    "opts, words",
    [
        ((), None),
        (MULTI_GRID, "RES5_MULTI_GRID [1, 2, 4], but .* [1, 1, 1]"),
        (("MODEL.RESNETS.RES5_DILATION", 2), "RES5_DILATION 1, but the configuration has 2"),
        ((HEAD + "TEMPERATURE", 20.0), "TEMPERATURE 100.0, but the configuration has 20"),
        (("MODEL.KERNELS.NUM_HEADS", 4), "NUM_HEADS 8, but the configuration has 4"),
        (("MODEL.SYNTHESIS.POSITION", True), "POSITION False, but the configuration has True"),
        ((HEAD + "NAME", "ZSMaskFormerHead"), "NAME DynamicKernelHead, but the configuration"),
        (("MODEL.PIXEL_STD", [1.0, 1.0, 2.0]), "PIXEL_STD [58.395, 57.12, 57.375]"),
        # what an evaluation may choose
        (("MODEL.ENSEMBLE.LAMBDA", 0.1, "MODEL.CLIP.PROMPT", "vild", "TEST.TILES", 99), None),
        (("INPUT.MIN_SIZE_TEST", 99, "MODEL.CLIP.NAME", "embedded"), None),
    ],
)
def test_settings_without_a_shape_are_compared(tmp_path, caplog, opts, words):
    warnings = check(tmp_path, caplog, notes(), opts)
    assert len(warnings) == (words is not None)
    for part in (words or "").split(" .* "):
        assert all(part in warning for warning in warnings)


@pytest.mark.parametrize(
    "trained",
    [
        *({}, {"trainer": {}}, {"trainer": {"settings": {}}}, {"args": Namespace(lr=1.0)}),
        # damaged or of another program
        *({"trainer": None}, {"trainer": torch.ones(1)}, {"trainer": {"settings": ["a"]}}),
        {"trainer": {"settings": {"classes": 3}}},
    ],
)
def test_a_checkpoint_without_notes_is_taken_as_it_is(tmp_path, caplog, trained):
    assert check(tmp_path, caplog, trained, (*MULTI_GRID, *LINEAR)) == []


def test_classes_of_the_training_are_the_seen_ones(tmp_path, caplog):
    """Or others would count as seen or unseen in hIoU and in the ensemble."""
    zero_shot = ("DATASETS.TRAIN", ("voc_zs_train",))
    with pytest.raises(UserError, match=r"was trained on .* is unseen in .* voc_zs_train \(5 cla"):
        check(tmp_path, caplog, notes(), zero_shot)
    with pytest.raises(UserError, match=r"was not trained on .* is seen in .*vised_train \(5 cla"):
        check(tmp_path, caplog, notes(*zero_shot), ())
    with pytest.raises(UserError, match="20 classes, but DATASETS.TRAIN is empty"):
        check(tmp_path, caplog, notes(), ("DATASETS.TRAIN", ()))
    converted = (*LINEAR, "DATASETS.TRAIN", ())  # whose training data this project does not know
    assert check(tmp_path, caplog, notes(*LINEAR), converted) == []
    for same in ((), zero_shot):
        assert check(tmp_path, caplog, notes(*same), same) == []


def model_with_texts(row):
    """A model whose encoder gives every text this embedding."""
    model = nn.Linear(1, 1)
    model.text_classifier = Namespace(encoder=Namespace(probe=lambda: torch.tensor(row)))
    return model


def test_weights_of_another_text_space_are_refused(tmp_path, caplog):
    """Labels would be wrong; the image tower may be another, which the texts do not show."""
    path = str(tmp_path / "model.safetensors")
    own, other = model_with_texts([0.8, 0.6]), model_with_texts([0.6, 0.8])
    noted = {**training_settings(configured(), 1), **text_space(encoder_of(own))}
    save_file(path, {"model": own.state_dict(), "trainer": {"settings": noted}})

    def evaluate(model, *opts):
        trained = load_weights(model, path)
        check_network_settings(configured("MODEL.WEIGHTS", path, *opts), trained, model)

    evaluate(own)
    evaluate(model_with_texts([0.8004, 0.5994]))  # half precision
    for changed in (other, model_with_texts([0.8, 0.6, 0.0])):
        with pytest.raises(UserError, match="was trained with another text encoder than MODEL.CL"):
            evaluate(changed)
        with pytest.raises(UserError, match="another text encoder"):
            evaluate(changed, "MODEL.ENSEMBLE.MODE", "head")
        evaluate(changed, "MODEL.ENSEMBLE.MODE", "clip")  # the head's names are not read
        evaluate(changed, *LINEAR)  # which compares with no texts
    evaluate(nn.Linear(1, 1))
    assert not caplog.records
    here = text_space(encoder_of(other))
    assert changes(noted, here) == "the text tower of MODEL.CLIP.NAME (its embeddings are others)"
    assert changes(noted, noted) == ""


def test_the_notes_are_of_plain_types(tmp_path):
    settings = training_settings(configured(), 1)
    torch.save(settings, tmp_path / "notes.pth")
    assert torch.load(tmp_path / "notes.pth", weights_only=True) == settings
    assert set(NETWORK_KEYS) < set(settings)


def test_a_linear_classifier_of_other_classes_is_refused(tmp_path, caplog):
    trained = notes(*LINEAR)
    names = trained["trainer"]["settings"]["classes"]
    assert check(tmp_path, caplog, trained, LINEAR) == [] and len(names) == 20
    names[0], names[1] = names[1], names[0]
    with pytest.raises(UserError, match="classes bicycle, aeroplane, .* has aeroplane, bicycle,"):
        check(tmp_path, caplog, trained, LINEAR)
    assert check(tmp_path, caplog, trained, ()) == []  # a text classifier reads no order
    names[0], names[1] = names[1], names[0]
    reverse = make_vocabulary(names[::-1])
    register_zero_shot_split("reverse", tmp_path, tmp_path, reverse, training=False)
    with pytest.raises(UserError, match="but the data set reverse has tvmonitor"):
        check(tmp_path, caplog, trained, (*LINEAR, "DATASETS.TEST", ("voc_zs_val", "reverse")))
    # of a further class, which does not compete among the seen ones
    more = make_vocabulary([*names[::-1], "zebra"], unseen=["zebra"])
    register_zero_shot_split("more", tmp_path, tmp_path, more, training=False)
    seen = (*LINEAR, "DATASETS.TEST", ("more",), "TEST.VOCABULARY", "seen")
    with pytest.raises(UserError, match="but the data set more has tvmonitor"):
        check(tmp_path, caplog, trained, seen)
    assert check(tmp_path, caplog, trained, (*LINEAR, "DATASETS.TEST", ("voc_20b_val",))) == []
