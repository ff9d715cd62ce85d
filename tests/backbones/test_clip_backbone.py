"""CLIP's own tower as the backbone: one look at a photo for masks and names."""

import pytest
import torch
from tiny_clip import ColourEncoder
from tiny_head import tiny_config

from zsk.backbones.build import build_backbone
from zsk.backbones.clip_backbone import ClipBackbone
from zsk.classification.build import build_encoder
from zsk.classification.region_encoder import BackboneRegions
from zsk.classification.sight import Sight
from zsk.engine.network_settings import IMAGE_TOWER, check_network_settings, towers
from zsk.engine.settings import changes
from zsk.errors import UserError
from zsk.export.look import FixedLook
from zsk.looks.true_scale import Box
from zsk.settings.key_checks import check_together
from zsk.vocabulary import Vocabulary
from zsk.zsk_net import ZSKNet

FEATURES = ["res2", "res3", "res4", "res5"]


@pytest.fixture(scope="module", params=["vit", "resnet"])
def weights(request, tmp_path_factory):
    from clip.model import CLIP

    size = (4, 64, 16) if request.param == "vit" else ((1, 1, 1, 1), 8, None)
    torch.manual_seed(0)
    model = CLIP(32, 64, *size, 77, 49408, 64, 1, 1)
    file = tmp_path_factory.mktemp("clip") / f"{request.param}.pt"
    torch.save(model.state_dict(), file)
    return str(file)


def one_network(weights, *opts):
    """Options of `tiny_config`: MODEL.CLIP.NAME is the backbone, too."""
    encoder = build_encoder(weights)
    return (
        *("MODEL.BACKBONE.NAME", "build_clip_backbone", "MODEL.CLIP.NAME", weights),
        *("MODEL.PIXEL_MEAN", list(encoder.pixel_mean), "MODEL.PIXEL_STD", list(encoder.pixel_std)),
        *("MODEL.CLIP.REGION_MODE", "backbone", *opts),
    )


def build(weights, *opts):
    return ZSKNet(tiny_config(*one_network(weights, *opts)))


def record(height=64, width=96):
    vocabulary = Vocabulary(("cat", "sky"), ("cat", "sky"), (True, True))
    sem_seg = torch.zeros(height, width, dtype=torch.int64)
    sem_seg[: height // 2] = 1
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    return {"image": image, "sem_seg": sem_seg, "vocabulary": vocabulary}


def test_levels_have_the_announced_shapes(weights):
    for scale, factor in ((1.0, 1), (0.5, 2)):
        backbone = ClipBackbone(build_encoder(weights), out_features=FEATURES, scale=scale).eval()
        shapes = backbone.output_shape()
        strides = [factor * stride for stride in (4, 8, 16, 32)]
        assert [shapes[name].stride for name in FEATURES] == strides
        with torch.no_grad():
            levels = backbone(torch.randn(2, 3, 64, 128))
        for name, level in levels.items():
            stride = shapes[name].stride
            assert level.shape == (2, shapes[name].channels, 64 // stride, 128 // stride)
            assert level.dtype == torch.float32


def test_the_levels_of_a_resnet_are_its_stages_and_cover_a_photo_of_any_size():
    encoder = build_encoder("embedded:lite0")
    network = encoder.network("dense")
    backbone = ClipBackbone(encoder, out_features=["res3", "res5", "head"])
    photo = torch.randn(1, 3, 50, 70)
    levels = backbone(photo)
    assert levels["res3"].shape[-2:] == (7, 9) and levels["res5"].shape[-2:] == (4, 5)
    torch.testing.assert_close(levels["head"], network.forward_features(photo))
    assert not list(backbone.parameters()) and not backbone.state_dict()


def test_regions_of_a_sight_are_those_of_a_look_at_the_photo(weights):
    encoder = build_encoder(weights, one_pass_size=64)
    photo, masks = torch.randn(3, 64, 64), torch.rand(5, 16, 16).round()
    sight = ClipBackbone(encoder, out_features=FEATURES).see(torch.stack([photo.flip(1), photo]))
    rows = encoder.encode_sight(sight.photo(1), masks)
    torch.testing.assert_close(rows, encoder.encode_regions(photo, masks), rtol=0, atol=1e-5)


def test_the_last_pixels_fill_the_last_patch(weights):
    backbone = ClipBackbone(build_encoder(weights), out_features=FEATURES).eval()
    photo = torch.randn(1, 3, 40, 64)
    filled = torch.cat([photo, photo[:, :, -1:].expand(-1, -1, 24, -1)], dim=2)
    with torch.no_grad():
        found, expected = backbone(photo), backbone(filled)
    for name in FEATURES:
        torch.testing.assert_close(found[name], expected[name])


def test_masks_and_regions_cover_the_same_on_a_photo_of_any_size(weights):
    """The last third of the photo: the patches of that third name it."""
    encoder = build_encoder(weights, one_pass_size=64)
    backbone = ClipBackbone(encoder, out_features=FEATURES)
    photo = torch.randn(1, 3, 48, 64)
    sight, filled = backbone.see(photo), photo[:, :, [*range(48), *[47] * 16]]
    mask = torch.zeros(1, 16, 16)  # cells of 4 pixels, as those of res2
    mask[:, 8:12] = 1
    rows = encoder.encode_sight(sight.photo(0), mask)
    torch.testing.assert_close(rows, encoder.encode_regions(filled[0], mask), rtol=0, atol=1e-5)
    assert sight.grid[0] == sight.grid[1]  # 48 rows are filled up to 64


def test_padding_is_no_part_of_a_region():
    """Red on the photo's two cells, green on a third that only fills the map."""
    pixels = torch.zeros(3, 1, 3)
    pixels[0, 0, :2], pixels[1, 0, 2] = 1.0, 1.0
    sight = Sight({}, (pixels,), (1, 3))
    masks = torch.tensor([[[9.0, 9.0, 9.0]], [[-9.0, 9.0, 9.0]], [[-9.0, -9.0, 9.0]]])
    regions = BackboneRegions(ColourEncoder())
    rows, valid = regions(torch.zeros(3, 4, 10), masks, Box(0, 0, 1.5, 1), sight)
    assert valid.tolist() == [True, True, False]
    torch.testing.assert_close(rows, torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 0, 0]]))
    rows, valid = regions(torch.zeros(3, 4, 12), masks, None, sight)
    assert valid.all() and rows[2].tolist() == [0, 1, 0]


def test_the_tower_sees_a_photo_once_and_batches_change_nothing(weights):
    model = build(weights, "MODEL.ENSEMBLE.MODE", "ensemble").eval()
    assert model.region_encoder.encoder is model.backbone.encoder
    calls = []
    visual = model.backbone.encoder.network("clip").visual
    visual.conv1.register_forward_hook(lambda module, inputs, out: calls.append(len(out)))
    images = [record()["image"] for _ in range(2)]
    together = model.look(images)
    assert calls == [2]
    for image, regions in zip(images, together):
        (alone,) = model.look([image])
        for ours, theirs in zip(regions[:4], alone[:4]):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
        assert regions.valid.any()


def test_training_leaves_the_tower_alone_and_trains_the_pyramid(weights):
    is_vit = "vit" in weights
    read = ["res2", "res4"] if is_vit else FEATURES
    pyramid = ("MODEL.RESNETS.OUT_FEATURES", read, "MODEL.SEM_SEG_HEAD.IN_FEATURES", read)
    model = build(weights, *pyramid, "MODEL.SEM_SEG_HEAD.CONVS_DIM", 32).train()
    before = model.backbone.encoder.fingerprint()
    model.backbone.encoder._fingerprint = None
    trained = [p for p in model.parameters() if p.requires_grad]
    # two norms and a convolution for each level, and two transposed ones for res2
    assert len(list(model.backbone.parameters())) == (16 if is_vit else 0)
    optimizer = torch.optim.SGD(trained, 0.1)
    sum(model([record(), record()]).values()).backward()
    assert all(p.grad is not None for p in trained)
    optimizer.step()
    assert model.backbone.encoder.fingerprint() == before


def test_an_export_looks_once_as_well(weights):
    model = build(weights).eval()
    photo = record(64, 64)["image"]
    (regions,) = model.look([photo])
    look = FixedLook(model)
    with torch.inference_mode():
        found = dict(zip(look.outputs, look(photo.permute(1, 2, 0))))
    torch.testing.assert_close(found["clip"], regions.clip_embeddings, rtol=0, atol=1e-5)
    assert found["valid"].tolist() == regions.valid.tolist()


def test_what_does_not_fit_is_refused(weights):
    def sentence(*opts):
        with pytest.raises(UserError) as error:
            build_backbone(tiny_config(*one_network(weights, *opts)))
        return str(error.value)

    assert "PIXEL_MEAN is [1.0, 2.0, 3.0]" in sentence("MODEL.PIXEL_MEAN", [1.0, 2.0, 3.0])
    assert "of BGR" in sentence("MODEL.PIXEL_ORDER", "BGR")
    assert "asks for res1" in sentence("MODEL.RESNETS.OUT_FEATURES", ["res1", "res5"])
    assert "stride of 5.33" in sentence("MODEL.CLIP.BACKBONE_SCALE", 0.75)
    assert "add res5" in sentence("MODEL.RESNETS.OUT_FEATURES", ["res2"])


def test_a_rounded_scale_is_the_fraction_that_is_meant(weights):
    options = one_network(weights, "MODEL.CLIP.BACKBONE_SCALE", 0.6667)  # 2/3
    assert build_backbone(tiny_config(*options)).output_shape()["res5"].stride == 48


def test_regions_of_another_backbone_are_refused():
    with pytest.raises(UserError, match="choose build_clip_backbone, or the mode one_pass"):
        check_together(tiny_config("MODEL.CLIP.REGION_MODE", "backbone"))


def test_a_checkpoint_knows_its_image_tower_again(weights, tmp_path):
    model = build(weights)
    noted = towers(model)
    other = torch.load(weights, weights_only=True)
    name = next(name for name in other if "visual" in name and name.endswith("conv1.weight"))
    other[name] = other[name] + 0.1 * torch.randn_like(other[name])
    file = str(tmp_path / "tuned.pt")
    torch.save(other, file)
    check_network_settings(model_config(weights), noted, model)
    with pytest.raises(UserError, match="was trained on another image tower than that of"):
        check_network_settings(model_config(file), noted, build(file))
    assert "image_tower" in changes(noted, towers(build(file)))
    crops = tiny_config("MODEL.CLIP.NAME", weights)
    assert IMAGE_TOWER not in towers(ZSKNet(crops))


def model_config(weights):
    return tiny_config(*one_network(weights, "MODEL.WEIGHTS", "model.pth"))
