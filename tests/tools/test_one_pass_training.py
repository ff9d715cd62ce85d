"""Both kinds of image tower, tiny, learn in seconds to embed regions as their crops are."""

import itertools
import math

import pytest
import torch
from clip.model import CLIP
from torch.nn import functional as F
from training.one_pass import (
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

from zsk.classification.clip_encoder import ClipEncoder
from zsk.errors import UserError

TEXT = F.normalize(torch.eye(3, 32) + 0.2, dim=1)
VIT, RESNET = (2, 128, 16), ((1, 1, 1, 1), 8, None)  # layers, width and patch


@pytest.fixture(scope="module", params=[VIT, RESNET], ids=["vit", "resnet"])
def weights(request, tmp_path_factory):
    file = tmp_path_factory.mktemp("clip") / "tiny.pt"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIP(32, 64, *request.param, 77, 49408, 64, 1, 1).eval()
        for parameter in model.visual.parameters():  # biases, too, which are zero at first
            parameter.data += 0.1 * torch.randn_like(parameter)
    torch.save(model.state_dict(), file)
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


def test_the_loss_by_hand():
    """One region; cosine 0; names at right angles: probabilities e/(e+1) and 1/(e+1), swapped."""
    student, teacher = torch.eye(2)[:1], torch.eye(2)[1:]
    p = math.e / (math.e + 1)
    divergence = p * 1 + (1 - p) * -1  # the logarithms of the ratios are 1 and -1
    loss = distillation_loss(student, teacher, torch.eye(2), 1.0)
    assert loss.item() == pytest.approx(1 + divergence)
    assert distillation_loss(teacher, teacher, torch.eye(2), 50.0).item() == pytest.approx(0)


def test_likeness_by_hand():
    """Cosines 1 and 0; the first of two regions is named the same."""
    rows = torch.eye(2)
    photo = TaughtPhoto(torch.zeros(3, 2, 2), torch.ones(2, 2, 2, dtype=torch.bool), rows[[0, 1]])
    assert likeness(lambda pixels, masks: rows[[0, 0]], [photo], rows) == (0.5, 0.5)


def test_a_fresh_student_answers_as_the_encoder_does(encoder):
    photo = teach(encoder, **record(0), generator=torch.Generator().manual_seed(0))
    assert 0 < len(photo.masks) <= REGIONS and photo.features.shape == (len(photo.masks), 32)
    features = OnePassStudent(encoder)(photo.pixels, photo.masks)
    expected = encoder.encode_regions(photo.pixels, photo.masks.float())
    torch.testing.assert_close(features, expected)


def test_training_brings_one_look_nearer_to_crops_and_saves_a_clip(encoder, tmp_path):
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
    # the file is a CLIP with another image tower and the same texts, in half precision
    save_one_pass(student, encoder, tmp_path / "one_pass.pt")
    loaded = ClipEncoder(str(tmp_path / "one_pass.pt"), one_pass_size=96, masked_layers=1)
    texts = (clip.encode_text(["a red circle"]) for clip in (loaded, encoder))
    torch.testing.assert_close(*texts, rtol=0, atol=2e-3)
    pixels, masks = held_out[0].pixels, held_out[0].masks
    with torch.no_grad():
        learned = student(pixels, masks)
    look = loaded.encode_regions(pixels, masks.float())
    torch.testing.assert_close(look, learned, rtol=0, atol=2e-2)


def test_the_seed_decides_and_the_names_of_labels_do_not(encoder):
    """Only outlines of seen segments are read: another class, the same weights."""
    runs = []
    for label, seed in ((0, 0), (3, 0), (0, 1)):
        student = OnePassStudent(encoder)
        photos = [[record(0, label)], [record(1, label)]]
        losses = train(encoder, student, photos, steps=2, seed=seed)
        runs.append((losses, torch.cat([p.detach().flatten() for p in student.parameters()])))
    assert runs[0][0] == runs[1][0] != runs[2][0]
    assert torch.equal(runs[0][1], runs[1][1])


def test_numbers_that_run_away_are_reported(encoder):
    student = OnePassStudent(encoder)
    student.visual.conv1.weight.data.fill_(float("nan"))
    with pytest.raises(UserError, match="diverged at step 0"):
        train(encoder, student, batches(), steps=2)
