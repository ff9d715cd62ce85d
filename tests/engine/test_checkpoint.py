"""Weights to evaluate with, and weights to start a training from."""

import logging
import pickle

import numpy as np
import pytest
import timm
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_resnet_backbone
from torch import nn

from zsk.backbones.timm_backbone import TimmBackbone
from zsk.engine.checkpoint import load_weights
from zsk.engine.initial_weights import initial_weights
from zsk.errors import UserError


def make_model(outputs: int = 3) -> nn.Module:
    cfg = get_cfg()
    resnets = cfg.MODEL.RESNETS  # ResNet-50 with few channels
    resnets.NORM = "BN"
    resnets.RES2_OUT_CHANNELS, resnets.STEM_OUT_CHANNELS, resnets.WIDTH_PER_GROUP = 8, 4, 2
    resnets.OUT_FEATURES = ["res5"]
    backbone = build_resnet_backbone(cfg, ShapeSpec(channels=3))
    head = nn.Sequential(nn.Linear(4, outputs), nn.LayerNorm(outputs))
    return nn.ModuleDict({"backbone": backbone, "sem_seg_head": head})


@pytest.fixture(scope="module")
def source() -> nn.Module:
    torch.manual_seed(1)
    return make_model()


# in this order, each wherever it occurs
CAFFE2_NAMES = {
    **{".norm.weight": "_bn_s", ".norm.bias": "_bn_b", ".norm.running_mean": "_bn_rm"},
    **{".norm.running_var": "_bn_riv", ".weight": "_w"},
    **{"stem.conv1_bn": "res_conv1_bn", "stem.": "", ".shortcut": "_branch1"},
    **{".conv1": "_branch2a", ".conv2": "_branch2b", ".conv3": "_branch2c", ".": "_"},
}


def caffe2_names(backbone: nn.Module) -> dict:
    """The backbone's weights as arrays under the names of Detectron's ImageNet models."""
    blobs = {"fc1000_w": torch.zeros(1000, 64).numpy(), "fc1000_w_momentum": torch.ones(1).numpy()}
    for key, value in backbone.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            for ours, theirs in CAFFE2_NAMES.items():
                key = key.replace(ours, theirs)
            blobs[key] = value.numpy()
    return blobs


def same_backbone(model: nn.Module, source: nn.Module) -> bool:
    pairs = zip(model["backbone"].state_dict().values(), source["backbone"].state_dict().values())
    return all(torch.equal(a, b) for a, b in pairs)


def test_imagenet_weights_with_detectrons_names_fill_the_backbone(tmp_path, source, caplog) -> None:
    blobs = caffe2_names(source["backbone"])
    zoo = {"model": blobs, "__author__": "Caffe2", "matching_heuristics": True}
    contents = {"R-50.pkl": blobs, "r-50.PKL": blobs, "b.pkl": {"blobs": blobs, "cfg": "x: 1"}}
    for name, content in {**contents, "z.pkl": zoo}.items():
        file = tmp_path / name
        file.write_bytes(pickle.dumps(content, protocol=2))
        model = make_model()
        before = model["sem_seg_head"][0].weight.clone()
        with caplog.at_level(logging.INFO, "zsk"):
            initial_weights(model, str(file))
        assert same_backbone(model, source)
        assert torch.equal(model["sem_seg_head"][0].weight, before)
    assert "stay random" not in caplog.text  # the file has nothing of the head
    assert "loaded 265 of 269 tensors (backbone 265 of 265, sem_seg_head 0 of 4)" in caplog.text


def test_a_checkpoint_fills_the_whole_model(tmp_path, source, caplog) -> None:
    torch.save({"model": source.state_dict(), "iteration": 3}, tmp_path / "a.pth")
    model = make_model()
    with caplog.at_level(logging.INFO, "zsk"):
        initial_weights(model, str(tmp_path / "a.pth"))
    for key, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)
    assert "(backbone 265 of 265, sem_seg_head 4 of 4)" in caplog.text


NOTHING_FITS = "0 of the 265 tensors of backbone fit"


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda s: {"other." + k: v for k, v in s.items()}, NOTHING_FITS),
        (lambda s: {k: v[:1] for k, v in s.items() if v.dim()}, NOTHING_FITS),
        (lambda s: {k: v for k, v in s.items() if "sem_seg" in k}, NOTHING_FITS),
        # of another system: its backbone alone would fit
        (
            lambda s: {
                k.replace("head.0", "head.query"): v for k, v in s.items() if "head.1" not in k
            },
            "0 of the 4 tensors of sem_seg_head fit",
        ),
    ],
)
def test_weights_of_another_model_are_refused_unless_told(
    tmp_path, source, change, words, caplog
) -> None:
    file = str(tmp_path / "a.pth")
    torch.save({"model": change(source.state_dict())}, file)
    with pytest.raises(UserError, match=f"a.pth is of another model: {words}.*WEIGHTS_MIN_SHARE"):
        initial_weights(make_model(), file)
    with caplog.at_level(logging.WARNING, "zsk"):
        initial_weights(make_model(), file, min_share=0.0)
    assert "stay random, " in caplog.text


def test_a_file_that_does_not_start_a_training(tmp_path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(UserError, match="MODEL.WEIGHTS .*a.pkl .* os.system, which could run code"):
        initial_weights(make_model(), str(tmp_path / "a.pkl"))
    with pytest.raises(UserError, match="MODEL.WEIGHTS .*none.pth does not exist"):
        initial_weights(make_model(), str(tmp_path / "none.pth"))
    torch.save({"model": {}}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="a.pth is of another model: 0 of the 265"):
        initial_weights(make_model(), str(tmp_path / "a.pth"))


def frozen_model(has_own_weights: bool) -> nn.Module:
    network = timm.create_model("test_resnet", features_only=True)
    settings = {"out_features": ["res5"], "freeze": "all", "has_own_weights": has_own_weights}
    return nn.ModuleDict({"backbone": TimmBackbone(network, **settings)})


def test_what_learns_nothing_needs_no_weights(tmp_path, caplog) -> None:
    model, file = frozen_model(True), str(tmp_path / "a.pth")
    assert load_weights(model, "") == {} and not caplog.text
    torch.save({"model": {"sem_seg_head.weight": torch.ones(2)}}, file)
    load_weights(model, file)
    assert "a.pth is not read: this model learns nothing" in caplog.text


def test_tensors_without_a_place_are_told(tmp_path, caplog) -> None:
    """They are parts that the trained network had and this one lacks."""
    model, file = make_model(), str(tmp_path / "a.pth")
    torch.save({"model": model.state_dict() | {"sem_seg_head.2.bias": torch.ones(2)}}, file)
    load_weights(model, file)
    assert "this model has no place for (1, such as sem_seg_head.2.bias)" in caplog.text


def test_random_weights_are_never_evaluated(tmp_path) -> None:
    """Neither a head's, nor a frozen backbone's that has no source but the checkpoint."""
    torch.save({"model": {}}, file := str(tmp_path / "a.pth"))
    for model in (make_model(), frozen_model(False)):
        with pytest.raises(UserError, match="no weights are given: give a checkpoint"):
            load_weights(model, "")
        with pytest.raises(UserError, match="a.pth lacks"):
            load_weights(model, file)


def test_a_model_zoo_file_is_no_checkpoint_to_evaluate(tmp_path, source) -> None:
    arrays = {key: value.numpy() for key, value in source.state_dict().items()}
    file = tmp_path / "a.pkl"
    file.write_bytes(pickle.dumps({"model": arrays, "__author__": "x"}))
    load_weights(make_model(), str(file))  # one that fits is
    for odd in (np.array(["a"]), np.array([1], dtype=np.longdouble)):  # which torch has not
        file.write_bytes(pickle.dumps({"model": {**arrays, "names": odd}, "__author__": "x"}))
        with pytest.raises(UserError, match="a.pkl holds no model weights"):
            load_weights(make_model(), str(file))
    file.write_bytes(pickle.dumps({"model": caffe2_names(source["backbone"]), "__author__": "x"}))
    with pytest.raises(UserError, match=r"a.pkl lacks (\d+) of the model's \1 tensors"):
        load_weights(make_model(), str(file))
