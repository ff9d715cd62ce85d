"""The contrastive training of a small CLIP: loss by hand, what trains, saved weights."""

from math import exp, log

import numpy as np
import pytest
import torch
from clip.model import CLIP
from training import small_clip

from zsk.classification.build import build_encoder
from zsk.errors import UserError

SIZES = small_clip.ClipSizes(16, 32, 1, 64, 16, 12, 64, 1)  # a ViT of one layer
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


@pytest.mark.parametrize("tower", small_clip.TOWERS)
def test_the_towers_take_the_same_pictures(tower: str) -> None:
    """As an encoder finds them in a file: the number of heads follows from the width."""
    model = small_clip.new_clip(small_clip.TOWERS[tower]).eval()
    pictures = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    with torch.no_grad():
        assert small_clip.encode_images(model, pictures).shape == (2, 128)


def test_saved_weights_are_an_encoder_and_load_into_the_same_sizes(model, tmp_path) -> None:
    file = tmp_path / "new" / "folder" / "small.pt"
    small_clip.save(model.state_dict(), file)
    with torch.no_grad():
        texts = small_clip.encode_captions(model, ["a red ring"])
    found = build_encoder(str(file)).encode_text(["a red ring"])
    torch.testing.assert_close(found, texts, rtol=0, atol=3e-3)  # saved in half precision
    other = small_clip.new_clip(SIZES)
    small_clip.load(other, file)
    for name, value in other.state_dict().items():
        assert torch.equal(value, model.state_dict()[name].half().float()), name
    larger = small_clip.new_clip(SIZES._replace(embed_dim=32))
    with pytest.raises(UserError, match="small.pt are not those of the synthetic world's small"):
        small_clip.load(larger, file)
