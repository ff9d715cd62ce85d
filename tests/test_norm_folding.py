"""Batch norms folded into convolutions: numbers by hand, whole networks up to rounding."""

import pytest
import timm
import torch
from detectron2.layers import Conv2d, FrozenBatchNorm2d, get_norm
from detectron2.modeling import build_backbone
from tiny_head import tiny_config
from torch import nn

from zsk.engine.checkpoint import load_to_evaluate
from zsk.errors import UserError
from zsk.evaluation.costs import trainable_parameters
from zsk.norm_folding import fold_batch_norms

BATCH_NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d)


def randomised(network: nn.Module) -> nn.Module:
    """With statistics that are not those of a fresh norm, which would change next to nothing."""
    generator = torch.Generator().manual_seed(0)
    for norm in network.modules():
        if isinstance(norm, BATCH_NORMS):
            for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                value.data = 0.5 + torch.rand(value.shape, generator=generator)
    return network.eval()


@pytest.mark.parametrize("norm_class", BATCH_NORMS)
def test_by_hand(norm_class) -> None:
    norm = norm_class(1, eps=1.0)
    for value, number in (("weight", 4), ("bias", 5), ("running_mean", 1), ("running_var", 3)):
        getattr(norm, value).data.fill_(number)
    conv = Conv2d(1, 1, 1, norm=norm, activation=nn.ReLU())
    conv.weight.data.fill_(2)
    conv.bias.data.fill_(7)
    conv.requires_grad_(False)
    fold_batch_norms(nn.ModuleDict({"a": conv}).eval())
    # 4 · (2x + 7 - 1) / √(3 + 1) + 5 = 4x + 17
    assert conv.norm is None
    assert (conv.weight.item(), conv.bias.item()) == (4, 17)
    assert conv(torch.tensor([[[[-5.0, 2.0]]]])).flatten().tolist() == [0, 25]
    assert not conv.weight.requires_grad and not conv.bias.requires_grad


def test_neighbours_in_a_sequence_only() -> None:
    def parts():
        return [nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)]

    class Elsewhere(nn.Module):
        """Its norm comes first: neighbours in the code need not be neighbours at work."""

        def __init__(self):
            super().__init__()
            self.conv, self.norm = parts()

        def forward(self, x):
            return self.conv(self.norm(x[:, [0, 1, 2, 0]])[:, :3])

    network = nn.Sequential(*parts(), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.BatchNorm2d(4))
    network.append(Elsewhere())
    x = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    expected = randomised(network)(x)
    torch.testing.assert_close(fold_batch_norms(network)(x), expected)
    assert [type(part).__name__ for part in network][:2] == ["Conv2d", "Identity"]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) == 2


def test_other_norms_and_norms_without_statistics_stay() -> None:
    norms = [get_norm("GN", 32), nn.BatchNorm2d(32, track_running_stats=False), None]
    network = nn.Sequential(*(Conv2d(32, 32, 1, norm=norm) for norm in norms)).eval()
    fold_batch_norms(network)
    assert [conv.norm for conv in network] == norms


def test_norms_that_learn_are_not_folded() -> None:
    with pytest.raises(ValueError, match="evaluation"):
        fold_batch_norms(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)))


@pytest.mark.parametrize("features_only", [False, True])
def test_an_efficientnet(features_only: bool) -> None:
    network = randomised(timm.create_model("tf_efficientnet_lite0", features_only=features_only))
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(x)
        found = fold_batch_norms(network)(x)
    for one, other in zip(expected, found):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4 * float(one.abs().max()))
    assert not any(isinstance(m, BATCH_NORMS) for m in network.modules())


@pytest.mark.parametrize("norm_class", BATCH_NORMS)
def test_trained_numbers_are_counted_as_before(norm_class) -> None:
    convs = [Conv2d(3, 4, 1, bias=bias, norm=norm_class(4)) for bias in (False, True)]
    network = nn.Sequential(convs[0], nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    network.append(convs[1].requires_grad_(False))
    before = trainable_parameters(network)
    assert before == 12 + (8 if norm_class is nn.BatchNorm2d else 0) + (12 + 4) + 8
    assert trainable_parameters(fold_batch_norms(network)) == before


def test_a_repeated_part_keeps_neighbours_apart() -> None:
    relu = nn.ReLU()
    network = nn.Sequential(relu, nn.Conv2d(2, 2, 1), relu, nn.BatchNorm2d(2)).eval()
    fold_batch_norms(network)
    assert isinstance(network[3], nn.BatchNorm2d)


def test_an_activation_in_between_is_not_jumped_over() -> None:
    conv = Conv2d(2, 2, 1, activation=nn.ReLU())
    network = fold_batch_norms(nn.Sequential(conv, nn.BatchNorm2d(2)).eval())
    assert isinstance(network[1], nn.BatchNorm2d)


def test_a_model_that_is_loaded_to_evaluate(tmp_path) -> None:
    cfg = tiny_config("MODEL.BACKBONE.NAME", "build_resnet_backbone", "MODEL.RESNETS.DEPTH", 18)
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    cfg.MODEL.RESNETS.NORM = "BN"
    model = nn.Module()
    model.backbone = randomised(build_backbone(cfg))
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model.backbone(x)
        fresh = nn.Module()
        fresh.backbone = build_backbone(cfg)
        found = load_to_evaluate(fresh, str(tmp_path / "weights.pth")).backbone(x)
    assert not any(isinstance(m, BATCH_NORMS) for m in fresh.modules()) and not fresh.training
    for name, feature in expected.items():
        tolerance = 1e-4 * float(feature.abs().max())
        torch.testing.assert_close(found[name], feature, rtol=1e-3, atol=tolerance)
    with pytest.raises(UserError, match="does not exist"):
        load_to_evaluate(fresh, str(tmp_path / "none.pth"))
