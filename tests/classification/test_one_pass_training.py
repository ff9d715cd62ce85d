"""Both kinds of image tower, tiny, learn in seconds to see regions as their crops are seen."""

import itertools
import math
import runpy
import sys

import pytest
import torch
from test_clip_vision import make_model
from torch.nn import functional as F

from zsk.classification.clip_encoder import ClipEncoder
from zsk.classification.one_pass_training import (
    REGIONS,
    OnePassStudent,
    TaughtPhoto,
    distillation_loss,
    encode_held_out,
    likeness,
    save_one_pass,
    teach,
    train_one_pass,
)
from zsk.errors import UserError

TOOL = "tools/finetune_clip.py"
TEXT = F.normalize(torch.eye(3, 32) + 0.2, dim=1)


@pytest.fixture(scope="module", params=["vit", "resnet"])
def weights(request, tmp_path_factory):
    file = tmp_path_factory.mktemp("clip") / "tiny.pt"
    torch.save(make_model(request.param).state_dict(), file)
    return str(file)


@pytest.fixture
def encoder(weights):
    return ClipEncoder(weights, one_pass_size=96, masked_layers=1)


def record(seed, label=0, height=48, width=64):
    """A photo of three flat colours, left unlabelled, middle `label`, right another one."""
    colours = torch.rand(3, 3, generator=torch.Generator().manual_seed(seed)) * 255
    sem_seg = torch.full((height, width), 255)
    image = colours[:, :1, None].repeat(1, height, width)
    for colour, (left, right), value in ((1, (20, 40), label), (2, (40, 64), 9)):
        image[:, :, left:right] = colours[:, colour, None, None]
        sem_seg[:, left:right] = value
    return {"image": image.to(torch.uint8), "sem_seg": sem_seg}


def batches(size=2):
    return ([record(4 * i + k) for k in range(size)] for i in itertools.count())


def train(encoder, student, photos, **changed):
    settings = {"steps": 25, "learning_rate": 0.002, "seed": 0, **changed}
    return train_one_pass(student, encoder, photos, TEXT, **settings)


def random_rows(count, seed=0):
    rows = torch.randn(count, 32, generator=torch.Generator().manual_seed(seed))
    return F.normalize(rows, dim=1)


def test_the_loss_by_hand():
    """One region; cosine 0; names at right angles: probabilities e/(e+1) and 1/(e+1), swapped."""
    student, teacher = torch.eye(2)[:1], torch.eye(2)[1:]
    p = math.e / (math.e + 1)
    divergence = p * 1 + (1 - p) * -1  # the logarithms of the ratios are 1 and -1
    loss = distillation_loss(student, teacher, torch.eye(2), 1.0)
    assert loss.item() == pytest.approx(1 + divergence)
    assert distillation_loss(teacher, teacher, torch.eye(2), 50.0).item() == pytest.approx(0)


def test_the_loss_is_the_mean_over_regions():
    student, teacher = random_rows(4), random_rows(4, seed=1)
    singles = [distillation_loss(s[None], t[None], TEXT, 5.0) for s, t in zip(student, teacher)]
    together = distillation_loss(student, teacher, TEXT, 5.0)
    torch.testing.assert_close(together, torch.stack(singles).mean())


def test_a_fresh_student_answers_as_the_encoder_does(encoder):
    pixels = torch.randn(3, 70, 90, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(2, 70, 90, dtype=torch.bool)
    masks[0, :30], masks[1, 10:, 50:] = True, True
    features = OnePassStudent(encoder)(pixels, masks)
    torch.testing.assert_close(features, encoder.encode_regions(pixels, masks.float()))
    assert features.requires_grad


def test_the_teacher_sees_masked_crops(encoder):
    photo = teach(encoder, **record(0), generator=torch.Generator().manual_seed(0))
    assert 0 < len(photo.masks) <= REGIONS and photo.masks.dtype == torch.bool
    assert photo.features.shape == (len(photo.masks), 32)
    torch.testing.assert_close(photo.features.norm(dim=1), torch.ones(len(photo.masks)))
    assert not photo.features.requires_grad
    mean, std = (torch.tensor(x)[:, None, None] for x in (encoder.pixel_mean, encoder.pixel_std))
    torch.testing.assert_close(photo.pixels, (record(0)["image"] - mean) / std)


def test_training_brings_one_look_nearer_to_crops(encoder):
    student, frozen = OnePassStudent(encoder), encoder.fingerprint()
    statistics = {k: b.clone() for k, b in student.visual.named_buffers()}
    held_out = encode_held_out(encoder, [record(1000 + i)["image"] for i in range(6)], seed=5)
    before = likeness(student, held_out, TEXT)
    losses = train(encoder, student, batches())
    after = likeness(student, held_out, TEXT)
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert after.cosine > before.cosine + 0.25 * (1 - before.cosine)
    for name, buffer in student.visual.named_buffers():  # of batch norm
        assert torch.equal(buffer, statistics[name])
    encoder._fingerprint = None
    assert encoder.fingerprint() == frozen


def test_the_file_is_a_clip_with_another_image_tower_and_the_same_texts(encoder, tmp_path):
    student = OnePassStudent(encoder)
    train(encoder, student, batches(), steps=3)
    save_one_pass(student, encoder, tmp_path / "one_pass.pt")
    loaded = ClipEncoder(str(tmp_path / "one_pass.pt"), one_pass_size=96, masked_layers=1)
    names = ["a red circle", "a dog"]
    close = {"rtol": 0, "atol": 2e-3}  # saved in half precision
    torch.testing.assert_close(loaded.encode_text(names), encoder.encode_text(names), **close)
    assert loaded.logit_scale == pytest.approx(encoder.logit_scale, rel=1e-3)
    photo = teach(encoder, **record(0), generator=torch.Generator().manual_seed(0))
    look = loaded.encode_regions(photo.pixels, photo.masks.float())
    with torch.no_grad():
        learned = student(photo.pixels, photo.masks)
    torch.testing.assert_close(look, learned, rtol=0, atol=2e-2)
    untrained = encoder.encode_regions(photo.pixels, photo.masks.float())
    assert (look - untrained).abs().max() > 0.05


def test_what_the_labels_say_changes_nothing(encoder):
    """Only outlines of seen segments are read: another class, the same weights."""
    trained = []
    for label in (0, 3):
        student = OnePassStudent(encoder)
        train(encoder, student, [[record(0, label)], [record(1, label)]], steps=2)
        trained.append(torch.cat([p.detach().flatten() for p in student.parameters()]))
    assert torch.equal(*trained)


def test_a_seed_gives_the_same_losses_again(encoder):
    runs = [train(encoder, OnePassStudent(encoder), batches(), steps=2, seed=s) for s in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_photos_with_nothing_to_learn_from_and_one_step(encoder, monkeypatch):
    monkeypatch.setattr("zsk.classification.one_pass_training.REGIONS", 0)
    student = OnePassStudent(encoder)
    before = student.visual.conv1.weight.clone()
    assert train(encoder, student, batches(), steps=1) == [0.0]
    assert torch.equal(student.visual.conv1.weight, before)
    nothing = likeness(student, encode_held_out(encoder, [record(0)["image"]], 0), TEXT)
    assert math.isnan(nothing.cosine) and math.isnan(nothing.agreement)


def test_likeness_by_hand():
    """Cosines 1 and 0; the first of two regions is named the same."""
    rows = torch.eye(2)
    photo = TaughtPhoto(torch.zeros(3, 2, 2), torch.ones(2, 2, 2, dtype=torch.bool), rows[[0, 1]])
    same = likeness(lambda pixels, masks: rows[[0, 0]], [photo], rows)
    assert same == (0.5, 0.5)


def test_numbers_that_run_away_are_reported(encoder):
    student = OnePassStudent(encoder)
    student.visual.conv1.weight.data.fill_(float("nan"))
    with pytest.raises(UserError, match="diverged at step 0"):
        train(encoder, student, batches(), steps=2)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--steps", "0"), "--steps is 0: give 1 or more"),
        (("--size", "-1"), "--size is -1: give 0 or more"),
        (("--held-out", "0"), "--held-out is 0: give 1 or more"),
        (("--output", "one_pass.json"), "ends as the report beside it does"),
    ],
)
def test_mistakes_are_found_before_anything_is_read(
    checkout, tmp_path, monkeypatch, capsys, flags, message
):
    monkeypatch.chdir(tmp_path)
    arguments = ["--config-file", "none.yaml", "--output", "one_pass.pt", *flags]
    monkeypatch.setattr(sys, "argv", [TOOL, *arguments])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(checkout / TOOL), run_name="__main__")
    assert left.value.code == 2
    assert message in capsys.readouterr().err
