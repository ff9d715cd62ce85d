"""The contrastive training of a small CLIP: loss by hand, what trains, saved weights."""

from math import exp, log
from pathlib import Path

import numpy as np
import pytest
import torch
from clip.model import CLIP
from torch.nn import functional as F
from training import small_clip

from zsk.classification.build import build_encoder
from zsk.errors import UserError

SIZES = small_clip.ClipSizes(
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
    return small_clip.new_clip(SIZES)


def test_images_that_share_a_caption_are_all_its_positives() -> None:
    images = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    # logits [[1, 0], [0.8, 0.6], [0, 1]]: images 0 and 1 belong to caption 0
    image_terms = [log(1 + exp(-1)), log(1 + exp(-0.2)), log(1 + exp(-1))]
    first = log(exp(1) + exp(0.8) + 1) - (1 + 0.8) / 2
    second = log(1 + exp(0.6) + exp(1)) - 1
    targets = torch.tensor([0, 0, 1])
    loss = small_clip.contrastive_loss(images, torch.eye(2), targets, torch.tensor(1.0))
    expected = (sum(image_terms) / 3 + (first + second) / 2) / 2
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_warm_up_makes_captions_as_alike_as_their_words(model: CLIP) -> None:
    names, templates = ["red circle", "red square", "blue circle"], ["{}", "a photo of a {}."]
    small_clip.warm_up_text(model, names, templates, 150, np.random.default_rng(0))
    with torch.no_grad():
        first, second = (
            small_clip.encode_captions(model, [template.format(name) for name in names])
            for template in templates
        )
    words_in_common = torch.tensor([[1, 0.5, 0.5], [0.5, 1, 0], [0.5, 0, 1]])
    torch.testing.assert_close(first @ second.T, words_in_common, rtol=0, atol=0.15)


def test_a_few_steps_of_the_image_tower_tell_two_colours_apart(model: CLIP) -> None:
    optimizer = small_clip.build_optimizer(model, 0.0003, 0.5)
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        trained = name.startswith("visual.") or name == "logit_scale"
        assert decay.get(id(parameter)) == (0.5 * (parameter.ndim > 1) if trained else None), name
    text_tower = model.text_projection.clone()
    batch = small_clip.make_batch([RED, GREEN], ["red", "green"], ["{}"], np.random.default_rng(0))
    steps = [small_clip.train_step(model, optimizer, batch) for _ in range(8)]
    losses = [loss for loss, _ in steps]
    assert losses[0] > 0.5 and losses[-1] < 0.3 * losses[0] and steps[-1][1] == 1.0
    assert small_clip.predictions(model, batch.images, ["green", "red"]).tolist() == [1, 0]
    assert torch.equal(model.text_projection, text_tower)


def test_saved_weights_are_an_encoder_and_load_into_the_same_sizes(
    model: CLIP, tmp_path: Path
) -> None:
    file = tmp_path / "new" / "folder" / "small.pt"
    small_clip.save(model.state_dict(), file)
    encoder = build_encoder(str(file))
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        images = small_clip.encode_images(model, pixels)
        texts = small_clip.encode_captions(model, ["a red ring"])
    close = {"rtol": 0, "atol": 3e-3}  # saved in half precision
    found = encoder.encode_image(small_clip.normalise(pixels))
    torch.testing.assert_close(found, F.normalize(images, dim=1), **close)
    torch.testing.assert_close(encoder.encode_text(["a red ring"]), texts, **close)
    other = small_clip.new_clip(SIZES)
    small_clip.load(other, file)
    for name, value in other.state_dict().items():
        assert torch.equal(value, model.state_dict()[name].half().float()), name
    larger = small_clip.new_clip(SIZES._replace(embed_dim=32))
    with pytest.raises(UserError, match="small.pt are not those of the synthetic world's small"):
        small_clip.load(larger, file)
