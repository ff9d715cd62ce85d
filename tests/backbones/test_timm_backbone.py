"""timm networks as backbones: level names, freezing and weights from a file."""

import pytest
import timm
import torch
from detectron2.modeling import BACKBONE_REGISTRY, build_backbone
from detectron2.modeling.backbone import Backbone
from tiny_head import tiny_config

from zsk.backbones.build import build_backbone as build_checked
from zsk.errors import UserError

FOUR_LEVELS = ("MODEL.TIMM.NAME", "test_convnext")  # strides 4 to 32
FIVE_LEVELS = ("MODEL.TIMM.NAME", "test_efficientnet")  # strides 2 to 32


def build(*opts):
    return build_backbone(tiny_config(*opts))


@pytest.mark.parametrize("network", [FOUR_LEVELS, FIVE_LEVELS])
@pytest.mark.parametrize("output_stride, strides", [(32, [4, 16, 32]), (16, [4, 16, 16])])
def test_res2_has_stride_4_and_shapes_are_told_truly(network, output_stride, strides):
    wanted = ["res2", "res4", "res5"]
    opts = ("MODEL.TIMM.OUTPUT_STRIDE", output_stride, "MODEL.RESNETS.OUT_FEATURES", wanted)
    backbone = build(*network, *opts).eval()
    shapes = backbone.output_shape()
    assert [shapes[name].stride for name in wanted] == strides
    features = backbone(torch.randn(1, 3, 64, 96))
    assert list(features) == wanted
    for name, feature in features.items():
        stride = shapes[name].stride
        assert feature.shape == (1, shapes[name].channels, 64 // stride, 96 // stride)


@pytest.mark.parametrize("switched", [False, True])
@pytest.mark.parametrize(
    "freeze, trained, running", [("none", 1, 1), ("norm", 1, 0), ("all", 0, 0)]
)
def test_freezing(freeze, trained, running, switched):
    """As it is built, and after a call of train()."""
    backbone = build(*FIVE_LEVELS, "MODEL.TIMM.FREEZE", freeze)
    if switched:
        backbone.train()
    before = {name: buffer.clone() for name, buffer in backbone.named_buffers()}
    features = backbone(torch.randn(2, 3, 64, 64))
    assert features["res5"].requires_grad == bool(trained)
    assert any(p.requires_grad for p in backbone.parameters()) == bool(trained)
    moved = any(not torch.equal(b, before[name]) for name, b in backbone.named_buffers())
    assert moved == bool(running)


def save_weights(path, name="test_efficientnet"):
    torch.manual_seed(1)
    network = timm.create_model(name)  # a classifier: it has weights that the backbone has not
    torch.save(network.state_dict(), path)
    return network


def test_a_classifiers_weights_give_its_features(tmp_path):
    network = save_weights(tmp_path / "weights.pth").eval()
    backbone = build(
        *FIVE_LEVELS,
        *("MODEL.TIMM.WEIGHTS", str(tmp_path / "weights.pth")),
        *("MODEL.TIMM.FREEZE", "all"),
    ).train()
    image = torch.randn(1, 3, 64, 96)
    features = network.forward_intermediates(image, intermediates_only=True)
    torch.testing.assert_close(backbone(image)["res5"], features[-1])


def test_weights_are_found_where_feature_pyramids_rename_modules(tmp_path):
    network = save_weights(tmp_path / "weights.pth", "test_convnext")
    backbone = build(*FOUR_LEVELS, "MODEL.TIMM.WEIGHTS", str(tmp_path / "weights.pth"))
    wanted = network.stages[3].blocks[0].conv_dw.weight
    assert torch.equal(backbone.network.stages_3.blocks[0].conv_dw.weight, wanted)


def test_other_pixels_than_those_of_the_weights_are_refused():
    lite = ("MODEL.TIMM.NAME", "tf_efficientnet_lite0", "MODEL.TIMM.WEIGHTS", "embedded")
    with pytest.raises(UserError, match="PIXEL_MEAN is .*lite0 take .127.5, 127.5, 127.5"):
        build(*lite)
    pixels = ("MODEL.PIXEL_MEAN", [127.0] * 3, "MODEL.PIXEL_STD", [128.0] * 3)
    build(*lite, *pixels)
    with pytest.raises(UserError, match="PIXEL_ORDER is BGR, but .* take RGB"):
        build(*lite, *pixels, "MODEL.PIXEL_ORDER", "BGR")


class Coarse(Backbone):
    """One that divides photos as a feature pyramid does."""

    size_divisibility = 32

    def forward(self, x):
        raise AssertionError("it is not built")


def test_a_backbone_for_some_sizes_alone_is_refused(monkeypatch):
    monkeypatch.setitem(BACKBONE_REGISTRY._obj_map, "coarse", lambda *_: Coarse())
    with pytest.raises(UserError, match="coarse takes only photos .* multiples of 32"):
        build_checked(tiny_config("MODEL.BACKBONE.NAME", "coarse"))


@pytest.mark.parametrize(
    "opts, words",
    [
        (("MODEL.TIMM.WEIGHTS", "nowhere.pth"), "'nowhere.pth' is no file"),
        (("MODEL.TIMM.WEIGHTS", "text.pth"), "text.pth cannot be read"),
        (("MODEL.TIMM.WEIGHTS", "other.pth"), "are not the weights of test_efficientnet"),
        (("MODEL.TIMM.WEIGHTS", "embedded"), "embedded goes with tf_efficientnet_lite networks"),
        (("MODEL.TIMM.NAME", "nonsense"), "cannot build MODEL.TIMM.NAME 'nonsense'"),
        (("MODEL.TIMM.NAME", "test_vit"), "cannot build MODEL.TIMM.NAME 'test_vit'"),
        (("MODEL.RESNETS.OUT_FEATURES", ["res6"]), "asks for res6, but this timm network has res1"),
    ],
)
def test_impossible_configurations_name_the_key(opts, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pth").write_bytes(b"no checkpoint")
    save_weights(tmp_path / "other.pth", "test_resnet")
    with pytest.raises(UserError, match=words):
        build(*FIVE_LEVELS, *opts)
