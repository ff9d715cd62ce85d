"""The contrastive training of a small CLIP: loss and accuracy by hand, steps, saved weights."""

from math import exp, log
from pathlib import Path

import numpy as np
import pytest
import torch
from clip.model import CLIP
from tiny_clip import make_tiny_clip
from torch import Tensor, nn
from torch.nn import functional as F

from zsk.classification import clip_training as training
from zsk.classification.build import build_encoder
from zsk.classification.clip_encoder import tokenize_all
from zsk.classification.clip_training import contrastive_loss
from zsk.classification.encoder import TextTooLongError
from zsk.errors import UserError

SIZES = training.ClipSizes(
    embed_dim=16,
    image_resolution=32,
    vision_layers=1,
    vision_width=64,
    vision_patch_size=16,
    context_length=12,
    transformer_width=64,
    transformer_layers=1,
)
RED, GREEN = (np.full((32, 32, 3), colour, np.uint8) for colour in ((210, 30, 30), (20, 200, 40)))


@pytest.fixture
def model() -> CLIP:
    return training.new_clip(SIZES)


class Fake(nn.Module):
    """Images are encoded as their mean colour, the n-th text as the n-th primary colour; E = 3."""

    context_length = 12
    logit_scale = torch.zeros(())

    def encode_image(self, images: Tensor) -> Tensor:
        return F.normalize(images.mean(dim=(2, 3)) + 3, dim=1)

    def encode_text(self, tokens: Tensor) -> Tensor:
        return torch.eye(3)[: len(tokens)]


def test_loss_of_two_images_with_a_caption_each() -> None:
    images, texts = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    # logits 2·[[1, 0.6], [0, 0.8]]
    image_terms = log(1 + exp(1.2 - 2)) + log(1 + exp(0 - 1.6))
    text_terms = log(1 + exp(0 - 2)) + log(1 + exp(1.2 - 1.6))
    loss = contrastive_loss(images, texts, torch.tensor([0, 1]), torch.tensor(2.0))
    assert loss.item() == pytest.approx((image_terms / 2 + text_terms / 2) / 2, abs=1e-6)


def test_images_that_share_a_caption_are_all_its_positives() -> None:
    images = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    # logits [[1, 0], [0.8, 0.6], [0, 1]]: images 0 and 1 belong to caption 0
    image_terms = [log(1 + exp(-1)), log(1 + exp(-0.2)), log(1 + exp(-1))]
    first = log(exp(1) + exp(0.8) + 1) - (1 + 0.8) / 2
    second = log(1 + exp(0.6) + exp(1)) - 1
    loss = contrastive_loss(images, torch.eye(2), torch.tensor([0, 0, 1]), torch.tensor(1.0))
    expected = (sum(image_terms) / 3 + (first + second) / 2) / 2
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_one_caption_for_all_leaves_the_choice_among_its_images_even() -> None:
    images = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    text = torch.tensor([[0.6, 0.8]])
    loss = contrastive_loss(images, text, torch.tensor([0, 0]), torch.tensor(5.0))
    assert loss.item() == pytest.approx(log(2) / 2, abs=1e-6)


def test_a_batch_captions_each_name_once() -> None:
    rng = np.random.default_rng(0)
    names = ["red ring", "blue star", "red ring"]
    batch = training.make_batch([RED, GREEN, RED], names, ["a {}.", "some {}."], rng)
    assert batch.images.shape == (3, 3, 32, 32) and batch.images.dtype == torch.uint8
    assert batch.images[1, :, 5, 5].tolist() == [20, 200, 40]
    assert len(batch.captions) == 2 and batch.targets.tolist() == [1, 0, 1]
    for caption, name in zip(batch.captions, ("blue star", "red ring")):
        assert caption in (f"a {name}.", f"some {name}.")
    drawn = {
        training.make_batch([RED], ["x"], ["a {}.", "some {}."], rng).captions[0] for _ in range(20)
    }
    assert drawn == {"a x.", "some x."}


def test_normalise() -> None:
    images = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    # CLIP's mean over its deviation, of 0-255
    expected = [-0.48145466 / 0.26862954, -0.4578275 / 0.26130258, -0.40821073 / 0.27577711]
    assert training.normalise(images).flatten().tolist() == pytest.approx(expected, abs=1e-5)


def test_optimizer_trains_the_image_tower_and_decays_its_weights_alone(model: CLIP) -> None:
    optimizer = training.build_optimizer(model, 0.01, 0.5)
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        if name.startswith("visual."):
            assert decay[id(parameter)] == (0.5 if parameter.ndim >= 2 else 0.0), name
        else:
            assert (id(parameter) in decay) == (name == "logit_scale"), name
    assert model.logit_scale.exp().item() == pytest.approx(training.START_SCALE)


def test_the_text_tower_stays_as_it_is_while_images_train(model: CLIP) -> None:
    optimizer = training.build_optimizer(model, 0.01, 0.0)
    rng = np.random.default_rng(0)
    batch = training.make_batch([RED, GREEN], ["red", "green"], ["{}"], rng)
    before = model.text_projection.clone(), model.visual.proj.clone()
    training.train_step(model, optimizer, batch)
    assert torch.equal(model.text_projection, before[0])
    assert not torch.equal(model.visual.proj, before[1])


def test_what_is_loaded_is_what_was_saved_with_its_scale(model: CLIP, tmp_path) -> None:
    model.logit_scale.data.fill_(2.0)
    training.save(model, tmp_path / "clip.pt")
    other = training.new_clip(SIZES)
    training.load(other, tmp_path / "clip.pt")
    training.build_optimizer(other, 0.01, 0.0)
    for name, value in other.state_dict().items():
        assert torch.equal(value, model.state_dict()[name].half().float()), name
    assert other.logit_scale.item() == 2.0


def test_weights_of_other_sizes_are_refused(model: CLIP, tmp_path) -> None:
    training.save(model, tmp_path / "clip.pt")
    larger = training.new_clip(SIZES._replace(embed_dim=2 * SIZES.embed_dim))
    with pytest.raises(UserError, match="clip.pt are not those of the synthetic world's small"):
        training.load(larger, tmp_path / "clip.pt")


def test_warm_up_makes_captions_as_alike_as_their_words(model: CLIP) -> None:
    names, templates = ["red circle", "red square", "blue circle"], ["{}", "a photo of a {}."]
    training.warm_up_text(model, names, templates, 150, np.random.default_rng(0))
    with torch.no_grad():
        first, second = (
            F.normalize(
                model.encode_text(tokenize_all([t.format(n) for n in names], model.context_length)),
                dim=1,
            )
            for t in templates
        )
    words_in_common = torch.tensor([[1, 0.5, 0.5], [0.5, 1, 0], [0.5, 0, 1]])
    torch.testing.assert_close(first @ second.T, words_in_common, rtol=0, atol=0.15)


def test_a_few_steps_tell_two_colours_apart(model: CLIP) -> None:
    optimizer = training.build_optimizer(model, 0.0003, 0.0)
    rng = np.random.default_rng(0)
    batch = training.make_batch([RED, GREEN], ["red", "green"], ["{}"], rng)
    steps = [training.train_step(model, optimizer, batch) for _ in range(8)]
    losses = [loss for loss, _ in steps]
    assert losses[0] > 0.5 and losses[-1] < 0.3 * losses[0]
    assert steps[-1][1] == 1.0 and all(right in (0.0, 0.5, 1.0) for _, right in steps)
    found = training.predictions(model, batch.images, ["green", "red"])
    assert found.tolist() == [1, 0]


def test_predictions_over_batches_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "IMAGES_AT_ONCE", 3)
    pixels = torch.zeros(4, 3, 2, 2, dtype=torch.uint8)
    for i, channel in enumerate((0, 1, 2, 1)):
        pixels[i, channel] = 255
    found = training.predictions(Fake(), pixels, ["red", "green", "blue"])
    assert found.tolist() == [0, 1, 2, 1]


def test_saved_weights_are_an_encoder(model: CLIP, tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "small.pt"
    training.save(model, file)
    encoder = build_encoder(str(file))
    assert (encoder.input_size, encoder.embed_dim) == (32, 16)
    texts = ["a photo of a red ring.", "stripes"]
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        images = model.encode_image(training.normalise(pixels))
        words = model.encode_text(training.tokenize_all(texts, 12))
    for found, expected in (
        (encoder.encode_image(training.normalise(pixels)), images),
        (encoder.encode_text(texts), words),
    ):
        # what is saved has half precision: 11 bits
        assert torch.allclose(found, F.normalize(expected, dim=1), atol=3e-3)


def test_the_sizes_reach_openai_s_class() -> None:
    sizes = training.ClipSizes(32, 64, 2, 64, 16, 77, 64, 2)
    ours, theirs = training.new_clip(sizes).state_dict(), make_tiny_clip().state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


def test_a_caption_that_is_too_long_is_named(model: CLIP) -> None:
    batch = training.make_batch([RED], ["very " * 12 + "red"], ["{}"], np.random.default_rng(0))
    with pytest.raises(TextTooLongError, match="very very"):
        training.train_step(model, training.build_optimizer(model, 0.01, 0.0), batch)
