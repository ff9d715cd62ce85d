import copy

import pytest
import torch
from tiny_clip import ColourEncoder
from torch import nn

from zsk.classification.build import ENCODER_REGISTRY, build_encoder
from zsk.classification.encoder import TEXT_BATCH
from zsk.errors import UserError


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = ColourEncoder()
        self.layer = nn.Linear(2, 2)


def test_a_model_shows_nothing_of_the_frozen_network():
    model = Model()
    assert set(model.state_dict()) == {"layer.weight", "layer.bias"}
    assert {name for name, _ in model.named_parameters()} == {"layer.weight", "layer.bias"}
    assert list(model.encoder.buffers()) == []
    assert not any(p.requires_grad for p in model.encoder.network("scale").parameters())


def test_the_frozen_network_follows_the_device_but_not_the_precision_nor_the_training_mode():
    model = Model().train().double()
    assert model.encoder.training and not model.encoder.network("scale").training
    assert model.layer.weight.dtype == torch.float64
    assert model.encoder.network("scale").weight.dtype == torch.float32
    twin = copy.deepcopy(model).to("meta")
    assert twin.encoder.device.type == twin.encoder.network("scale").weight.device.type == "meta"
    assert model.encoder.network("scale").weight.device.type == "cpu"


def test_precision_is_half_on_a_gpu_and_single_elsewhere():
    encoder, network = ColourEncoder(), nn.Linear(1, 1)
    encoder.set_precision(network, torch.device("cuda"))
    assert network.weight.dtype == torch.float16
    encoder.set_precision(network, torch.device("cpu"))
    assert network.weight.dtype == torch.float32


def test_nothing_in_nothing_out():
    encoder = ColourEncoder()
    assert encoder.encode_text([]).shape == (0, 3)
    assert encoder.encode_image(torch.zeros(0, 3, 4, 4)).shape == (0, 3)
    assert encoder.batches == []


def test_rows_of_many_texts_have_length_one_and_keep_their_order():
    rows, half = ColourEncoder().encode_text(["red"] * TEXT_BATCH + ["yellow"]), 0.5**0.5
    expected = [[1.0, 0.0, 0.0]] * TEXT_BATCH + [[half, half, 0.0]]
    torch.testing.assert_close(rows, torch.tensor(expected))


def test_crops_get_no_gradient_and_no_autocast():
    class LinearEncoder(ColourEncoder):
        def _image_features(self, crops: torch.Tensor) -> torch.Tensor:
            features = crops.mean(dim=(2, 3)) @ torch.eye(3)
            assert features.dtype == torch.float32
            return features

    crops = torch.rand(2, 3, 4, 4, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rows = LinearEncoder().encode_image(crops)
    assert rows.dtype == torch.float32 and not rows.requires_grad


def test_the_fingerprint_is_that_of_the_weights():
    one, other = ColourEncoder(), ColourEncoder()
    other.network("scale").load_state_dict(one.network("scale").state_dict())
    other.network("scale").half()
    assert one.fingerprint() == other.fingerprint()
    assert len(one.fingerprint()) == 64
    changed = ColourEncoder()
    changed.network("scale").weight.fill_(7)
    assert changed.fingerprint() != one.fingerprint()


def test_a_registered_encoder_is_chosen_by_its_scheme():
    @ENCODER_REGISTRY.register()
    def colours(name, **options):
        return ColourEncoder(input_size=int(name))

    try:
        encoder = build_encoder("colours:7", temperature=5.0)
    finally:
        ENCODER_REGISTRY._obj_map.pop("colours")
    assert isinstance(encoder, ColourEncoder)
    assert (encoder.input_size, encoder.logit_scale) == (7, 5.0)


def test_an_unknown_encoder_is_a_users_mistake():
    with pytest.raises(UserError, match="ViT-B/17.*ViT-B/16"):
        build_encoder("ViT-B/17")
