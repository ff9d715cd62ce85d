"""One-pass training: tiny image towers of both kinds learn in seconds; regions to learn from."""

import itertools
import math

import pytest
import torch
from clip.model import CLIP
from torch.nn import functional as F
from training import one_pass
from training.one_pass import distillation_loss, likeness, loss_by_crops
from training.regions import MIN_SHARE, draw_regions
from training.student import OnePassStudent, save_student, train_student

from zsk.classification.clip_encoder import ClipEncoder
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary

TEXT = F.normalize(torch.eye(3, 32) + 0.2, dim=1)
VIT, RESNET = (5, 128, 16), ((1, 1, 1, 1), 8, None)  # layers, one before the masked; width; patch


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
    return ClipEncoder(weights, one_pass_size=96)


def record(seed):
    """A photo of three flat colours, the left one unlabelled."""
    colours = torch.rand(3, 3, generator=torch.Generator().manual_seed(seed)) * 255
    image = colours[:, None].repeat_interleave(torch.tensor([20, 20, 24]), dim=2).repeat(1, 48, 1)
    sem_seg = torch.tensor([255] * 20 + [0] * 20 + [9] * 24).repeat(48, 1)
    words = Vocabulary.from_words(list("abcdefghij"))
    return {"image": image.to(torch.uint8), "sem_seg": sem_seg, "vocabulary": words}


def batches(size=2):
    return ([record(4 * i + k) for k in range(size)] for i in itertools.count())


def train(encoder, student, photos, **changed):
    settings = {"steps": 25, "learning_rate": 0.002, "seed": 0, **changed}
    loss_of = loss_by_crops(student, encoder, TEXT)
    return train_student(
        student, loss_of, lambda step: itertools.islice(photos, step, None), **settings
    )


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
    masks = torch.ones(2, 2, 2, dtype=torch.bool)
    photo = one_pass.TaughtPhoto(torch.zeros(3, 2, 2), masks, rows)
    assert likeness(lambda pixels, masks: rows[[0, 0]], [photo], rows) == (0.5, 0.5)


def test_training_brings_one_look_nearer_to_crops_and_saves_a_clip(encoder, tmp_path):
    student, frozen = OnePassStudent(encoder), encoder.fingerprint()
    statistics = {k: b.clone() for k, b in student.visual.named_buffers()}
    photos = [record(1000 + i)["image"] for i in range(6)]
    held_out = one_pass.encode_held_out(encoder, photos, seed=5)
    before = likeness(student, held_out, TEXT)
    losses = train(encoder, student, batches())
    after = likeness(student, held_out, TEXT)
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert after.cosine > before.cosine + 0.15 * (1 - before.cosine)
    for name, buffer in student.visual.named_buffers():  # of batch norm
        assert torch.equal(buffer, statistics[name])
    encoder._fingerprint = None
    assert encoder.fingerprint() == frozen
    # the file is a CLIP with another image tower and the same texts, in half precision
    save_student(student, encoder, tmp_path / "one_pass.pt")
    loaded = ClipEncoder(str(tmp_path / "one_pass.pt"), one_pass_size=96)
    texts = (clip.encode_text(["a red circle"]) for clip in (loaded, encoder))
    torch.testing.assert_close(*texts, rtol=0, atol=2e-3)
    pixels, masks = held_out[0].pixels, held_out[0].masks
    with torch.no_grad():
        learned = student(pixels, masks)
    look = loaded.encode_regions(pixels, masks.float())
    torch.testing.assert_close(look, learned, rtol=0, atol=2e-2)


def test_numbers_that_run_away_are_reported(encoder):
    student = OnePassStudent(encoder)
    student.visual.conv1.weight.data.fill_(float("nan"))
    with pytest.raises(UserError, match="diverged at step 0"):
        train(encoder, student, batches(), steps=2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(height, width):
    return torch.randn(3, height, width, generator=generator(7))


def test_unlabelled_outlines_and_ids_of_labels_are_not_read():
    """The unlabelled square has the colour of its surroundings: no region can know of it."""
    photo = noise(48, 48)
    labels = torch.zeros(48, 48, dtype=torch.int64)
    labels[:5] = 1
    labels[10:30, 10:30] = 255
    renamed = F.embedding(labels.clamp(max=2), torch.tensor([[5], [9], [255]]))[..., 0]
    for seed in range(5):
        regions = draw_regions(photo, labels, 99, generator(seed))
        assert not any(torch.equal(region, labels == 255) for region in regions)
        assert torch.equal(regions, draw_regions(photo, renamed, 99, generator(seed)))


def test_small_regions_and_a_limit():
    photo, labels = noise(64, 64), torch.full((64, 64), 255)
    labels[0, 0] = 0  # one pixel: too small
    regions = draw_regions(photo, labels, 3, generator())
    assert 1 <= len(regions) <= 3
    assert (regions.flatten(1).float().mean(dim=1) >= MIN_SHARE).all()
    assert draw_regions(photo, labels, 0, generator()).shape == (0, 64, 64)


@pytest.mark.parametrize("size", [(1, 1), (1, 300)])
def test_an_unlabelled_photo_is_partitioned(size):
    regions = draw_regions(noise(*size), torch.full(size, 255), 99, generator())
    assert torch.equal(regions.sum(dim=0), torch.ones(size, dtype=torch.int64))
