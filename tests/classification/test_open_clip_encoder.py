"""Tiny models with random numbers, by open_clip's own classes, in files as users have them."""

import json
import logging
import sys
from copy import deepcopy

import pytest
import torch
from PIL import Image
from timm.models import register_model
from timm.models.eva import Eva
from torch.nn import functional as F

from zsk.classification.build import build_encoder
from zsk.classification.clip_encoder import ClipEncoder
from zsk.classification.crops import masked_crops
from zsk.classification.encoder import TextError
from zsk.errors import UserError

open_clip = pytest.importorskip("open_clip")

SIDE, TEXTS = 64, ["a photo of a cat.", "a photo of a Potted  plant."]
VIT = {"image_size": SIDE, "layers": 2, "width": 128, "head_width": 64, "patch_size": 16}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
SIGLIP_TEXT = {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}
SIGLIP_TEXT = {**TEXT, "context_length": 64, **SIGLIP_TEXT}
HALVES = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "resize_mode": "squash"}


def timm_tower(name, **config):
    return {"timm_model_name": name, "image_size": SIDE, "timm_pool": "", **config}


CONFIGS = {
    "vit": {"vision_cfg": VIT, "text_cfg": TEXT},
    "quick vit": {"vision_cfg": VIT, "text_cfg": TEXT, "quick_gelu": True},
    "custom text": {"vision_cfg": VIT, "text_cfg": TEXT, "custom_text": True},
    "average": {"vision_cfg": {**VIT, "pool_type": "avg", "no_ln_pre": True}, "text_cfg": TEXT},
    "resnet": {
        "vision_cfg": {"image_size": SIDE, "layers": [1, 1, 1, 1], "width": 8},
        "text_cfg": TEXT,
    },
    "convnext": {"vision_cfg": timm_tower("test_convnext", timm_proj="mlp"), "text_cfg": TEXT},
    "siglip": {
        "vision_cfg": timm_tower("test_vit", timm_pool="map", timm_proj="none", image_size=160),
        "text_cfg": SIGLIP_TEXT,
        "custom_text": True,
        "init_logit_bias": -10,
    },
    "eva": {
        "vision_cfg": timm_tower("tiny_eva", timm_pool="token", timm_proj=""),
        "text_cfg": TEXT,
        "custom_text": True,
    },
}
CONFIGS["siglip"]["embed_dim"] = 64  # of the tower: there is no projection
WHOLE = ("vit", "quick vit", "custom text", "resnet", "convnext")  # take a whole photo


@register_model
def tiny_eva(num_classes, global_pool, **_):
    """timm's class with what EVA02's towers have: rotary positions, SwiGLU."""
    size = {"img_size": SIDE, "patch_size": 16, "embed_dim": 48, "depth": 2, "num_heads": 2}
    parts = {"use_rot_pos_emb": True, "swiglu_mlp": True, "scale_mlp": True}
    return Eva(**size, **parts, num_classes=num_classes, global_pool=global_pool)


def make_model(kind):
    """open_clip's model of a kind; biases and scales are random, too."""
    config = {"embed_dim": 32, **json.loads(json.dumps(CONFIGS[kind]))}
    build = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(**config).eval().requires_grad_(False)
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def save_folder(folder, kind, state, **model_cfg):
    """A folder as the hub lays it out."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": {"embed_dim": 32, **CONFIGS[kind], **model_cfg}}
    config["preprocess_cfg"] = HALVES
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.save(state, folder / "open_clip_pytorch_model.bin")
    return folder


@pytest.fixture(autouse=True)
def empty_cache_and_no_network(monkeypatch, tmp_path):
    import socket

    from huggingface_hub import constants

    asked = []

    def refuse(*arguments, **_):
        asked.append(arguments)  # what is raised may be caught
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert not asked


@pytest.fixture(scope="module", autouse=True)
def quick_tokenizer():
    """The list of merges is read once: it takes longer than a tiny model."""
    read = vars(open_clip.SimpleTokenizer())

    def copy(self, context_length):
        self.__dict__.update(read, context_length=context_length)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_clip.SimpleTokenizer, "__init__", copy)
        yield


@pytest.fixture(scope="module")
def models():
    return {kind: make_model(kind) for kind in CONFIGS}


@pytest.fixture(scope="module")
def folders(models, tmp_path_factory):
    root = tmp_path_factory.mktemp("open_clip")
    return {kind: save_folder(root / kind, kind, models[kind].state_dict()) for kind in CONFIGS}


@pytest.fixture(scope="module")
def encoders(folders):
    return {kind: build_encoder(f"open_clip:{folder}") for kind, folder in folders.items()}


every_kind = pytest.mark.parametrize("kind", CONFIGS)
whole_photos = pytest.mark.parametrize("kind", WHOLE)


def random_photo(height, width=None):
    return torch.randn(3, height, width or height, generator=torch.Generator().manual_seed(0))


def assert_near(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


@every_kind
def test_same_numbers_as_open_clips_own_model(models, encoders, kind):
    model, encoder = models[kind], encoders[kind]
    crops = random_photo(encoder.input_size)[None]
    tokens = open_clip.tokenize(TEXTS, context_length=model.context_length)
    with torch.no_grad():
        image, text = model.encode_image(crops), model.encode_text(tokens)
    assert_near(encoder.encode_image(crops), F.normalize(image, dim=1))
    assert_near(encoder.encode_text(TEXTS), F.normalize(text, dim=1))
    assert encoder.logit_scale == pytest.approx(float(model.logit_scale.exp()))


@pytest.mark.parametrize("kind", ["vit", "convnext", "siglip", "eva"])
def test_the_gpus_precision_gives_nearly_the_same_numbers(encoders, kind):
    encoder, half = encoders[kind], deepcopy(encoders[kind])
    half.set_precision(half.network("open_clip"), torch.device("cuda"))
    photo = random_photo(encoder.input_size)
    assert_near(half.encode_image(photo[None]), encoder.encode_image(photo[None]), 1e-2)
    assert_near(half.encode_text(TEXTS), encoder.encode_text(TEXTS), 1e-2)
    if kind in WHOLE:
        masks = torch.eye(4)[None]
        regions = encoder.encode_regions(photo, masks)
        assert_near(half.encode_regions(photo, masks), regions, 1e-2)
        assert_near(half.encode_dense(photo), encoder.encode_dense(photo), 1e-2)


@every_kind
def test_which_towers_take_a_whole_photo(encoders, kind):
    vision = encoders[kind].vision
    assert (vision is not None) == (kind in WHOLE)
    transformers = ("vit", "quick vit", "custom text")
    assert ("qq_kk" in getattr(vision, "dense_attentions", ())) == (kind in transformers)


@whole_photos
def test_a_region_that_covers_everything_gets_the_photos_own_embedding(encoders, kind):
    encoder, photo = encoders[kind], random_photo(SIDE)
    regions = encoder.encode_regions(photo, torch.ones(1, 8, 8))
    assert_near(regions, encoder.encode_image(photo[None]))
    part = encoder.encode_regions(photo, torch.ones(8, 8).tril()[None])
    assert (part - regions).abs().max() > 1e-3


def test_convnext_pools_under_a_mask_by_hand(models, encoders):
    """The mean of two of the 2×3 places of the last map, then timm's norm and the projection."""
    encoder, photo, visual = encoders["convnext"], random_photo(64, 96), models["convnext"].visual
    mask = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    with torch.no_grad():
        features = visual.trunk.forward_features(photo[None])[0]
        mean = (features[:, 0, 0] + features[:, 1, 1]) / 2
        norm = visual.trunk.head.norm
        row = visual.head(F.layer_norm(mean, mean.shape, norm.weight, norm.bias, norm.eps))
    assert_near(encoder.encode_regions(photo, mask[None])[0], F.normalize(row, dim=0))
    places = encoder.encode_regions(photo, torch.eye(6).view(6, 2, 3))
    assert_near(encoder.encode_dense(photo).flatten(1).T, places)


def test_the_same_weights_by_openais_class_and_by_open_clips(models, encoders, tmp_path):
    """Of both activations: the one that OpenAI's class has agrees, the other one does not."""
    torch.save(models["quick vit"].state_dict(), tmp_path / "tiny.pt")
    openai, photo = ClipEncoder(str(tmp_path / "tiny.pt")), random_photo(80, 64)
    assert torch.equal(models["vit"].visual.conv1.weight, models["quick vit"].visual.conv1.weight)
    for kind, agrees in (("quick vit", True), ("vit", False)):
        for look in (
            lambda encoder: encoder.encode_text(TEXTS),
            lambda encoder: encoder.encode_image(photo[None, :, :SIDE]),
            lambda encoder: encoder.encode_dense(photo),
            lambda encoder: encoder.encode_regions(photo, torch.eye(5)[None, :, :4]),
        ):
            difference = (look(encoders[kind]) - look(openai)).abs().max()
            assert (difference < 1e-5) if agrees else (difference > 1e-4)
    same = (openai, encoders["quick vit"])
    assert_near(*(encoder.encode_dense(photo, "qq_kk") for encoder in same))


def test_another_activation_is_another_fingerprint(encoders, folders):
    """The text cache holds rows under the fingerprint."""
    again = build_encoder(f"open_clip:local-dir:{folders['vit']}")
    assert again.fingerprint() == encoders["vit"].fingerprint()
    assert again.fingerprint() != encoders["quick vit"].fingerprint()


def test_crops_are_those_of_open_clips_own_preprocessing(encoders):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    encoder = encoders["vit"]
    assert encoder.pixel_mean == encoder.pixel_std == (127.5,) * 3
    transform = image_transform_v2(PreprocessCfg(size=SIDE, **HALVES), is_train=False)
    values = torch.randint(0, 2, (150, 150, 3), dtype=torch.uint8) * 255
    pixels = (values.permute(2, 0, 1).float() - 127.5) / 127.5
    crop = masked_crops(pixels, torch.ones(1, 150, 150, dtype=torch.bool), encoder)[0]
    # an image library rounds to whole colours, between rows and columns, too
    assert ((crop - transform(Image.fromarray(values.numpy()))) * 127.5).abs().max() < 1.5


@pytest.mark.parametrize(
    "name, quick, mean",
    [
        ("ViT-B-16/openai:{}", True, 0.481),
        ("ViT-B/16/openai:{}", True, 0.481),
        ("ViT-B-16/laion2b_s34b_b88k:{}", False, 0.481),
        ("ViT-B-16/laion2b-s34b-b88k:{}", False, 0.481),
        ("ViT-B-16-quickgelu:{}", True, 0.481),
        ("ViT-B-16/gelu:{}", False, 0.481),
        ("ViT-B-16/quickgelu:{}", True, 0.481),
        ("ViT-L-14/laion2b_s32b_b82k:{}", False, 0.5),
        ("ViT-B-32-256:{}", False, 0.481),
        ("ViT-S-16:{}", False, 0.481),
        ("ViT-B-16-SigLIP:{}", False, 0.5),
        ("convnext_large_d_320:{}", False, 0.481),
    ],
)
def test_activation_and_colours_come_from_the_name(name, quick, mean):
    from zsk.classification.open_clip_source import find_source

    source = find_source(name.format("some/weights.pt"))
    assert source.config["quick_gelu"] is quick
    assert source.preprocess.mean[0] == pytest.approx(mean, abs=1e-3)
    assert str(source.file) == "some/weights.pt"


@pytest.mark.parametrize(
    "name, message",
    [
        ("ViT-B-16:weights.pt", "GELU or QuickGELU.*ViT-B-16/TAG:weights.pt.*gelu or quickgelu"),
        ("ViT-L-14:weights.pt", "not all alike"),
        ("ViT-B-16", "which weights.*laion2b_s34b_b88k"),
        ("ViT-B-16/laion9b", "'laion9b'.*give one of openai, laion400m_e31"),
        ("ViT-B-16/gelu", "'gelu'.*give one of openai"),
        ("ViT-B-32-quickgelu/gelu:a.pt", "QuickGELU by its model and GELU .*ViT-B-32/gelu:FILE"),
        ("ViT-S-16/laion2b", "give one of none"),
        ("ViT-B-16/laion2b_s34b_b88k", "hub's cache.*python -c.*'laion2b_s34b_b88k'.*:FILE"),
        ("ViTamin-S/datacomp1b", "jienengchen/ViTamin-S.*hub's cache"),
        ("hf-hub:someone/model", "someone/model is not in the hub's cache.*hf-hub:someone/model'"),
        ("ViT-Z-99/tag", "neither a model"),
        ("", "neither a model"),
        (".", "no open_clip_config.json in"),
        ("local-dir:no/folder", "no open_clip_config.json in"),
        ("ViT-S-16:missing.pt", "missing.pt does not exist"),
        ("ViT-S-16:missing.safetensors", "missing.safetensors does not exist"),
        ("ViT-S-16:hf://someone", "no address of a file"),
        ("coca_ViT-B-32:weights.pt", "CoCa"),
        ("roberta-ViT-B-32:weights.pt", "text tower of transformers"),
    ],
)
def test_what_is_not_there_is_a_sentence(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        build_encoder(f"open_clip:{name}")


def test_a_model_of_the_hubs_cache(models, tmp_path, caplog):
    repository = tmp_path / "hub" / "models--someone--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    save_folder(repository / "snapshots" / "abc", "vit", models["vit"].state_dict())
    caplog.set_level(logging.INFO, "zsk")
    assert build_encoder("open_clip:hf-hub:someone/tiny").embed_dim == 32
    for part in ("hf-hub:someone/tiny", "open_clip_pytorch_model.bin", "(GELU; ", "64 px", "0.5"):
        assert part in caplog.text


@pytest.mark.parametrize("form", ["checkpoint", "safetensors", "old names"])
def test_forms_of_a_file(models, encoders, folders, tmp_path, form):
    from safetensors.torch import save_file

    kind = "custom text" if form == "old names" else "vit"
    state, folder = models[kind].state_dict(), tmp_path / form
    if form == "old names":
        state = {key.removeprefix("text."): value for key, value in state.items()}
    if form == "checkpoint":
        state = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}
    save_folder(folder, kind, {} if form == "safetensors" else state)
    if form == "safetensors":
        save_file(state, folder / "open_clip_model.safetensors")
    encoder = build_encoder(f"open_clip:{folder}")
    assert encoder.fingerprint() == encoders[kind].fingerprint()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda state: state | {"visual.proj": torch.zeros(2, 2)}, "does not fit.*visual.proj"),
        (lambda state: state | {"more": torch.zeros(2)}, "does not fit.*more"),
        (lambda state: {k: v for k, v in state.items() if k != "ln_final.bias"}, "ln_final.bias"),
        (lambda state: [1, 2], "holds no state dict"),
        (lambda state: {"state_dict": 5}, "holds no weights"),
    ],
)
def test_weights_of_another_model_are_refused(models, tmp_path, change, message):
    folder = save_folder(tmp_path / "folder", "vit", change(models["vit"].state_dict()))
    with pytest.raises(UserError, match=message):
        build_encoder(f"open_clip:{folder}/open_clip_pytorch_model.bin")


@pytest.mark.parametrize(
    "content", ["", "[]", '{"model_cfg": 3}', '{"model_cfg": {"embed_dim": 32}}', "{"]
)
def test_a_damaged_configuration_is_named(tmp_path, content):
    folder = save_folder(tmp_path / "folder", "vit", {})
    (folder / "open_clip_config.json").write_text(content)
    with pytest.raises(UserError, match="open_clip_config.json|does not fit"):
        build_encoder(f"open_clip:{folder}")


def test_crops_that_are_no_squares_are_refused(tmp_path):
    tall = {**VIT, "image_size": [SIDE, 32]}
    model = open_clip.CLIP(embed_dim=32, vision_cfg=tall, text_cfg=TEXT)
    folder = save_folder(tmp_path / "folder", "vit", model.state_dict(), vision_cfg=tall)
    with pytest.raises(UserError, match="64 × 32"):
        build_encoder(f"open_clip:{folder}")


def test_77_tokens_pass_and_78_are_named(encoders):
    encoders["vit"].encode_text([" ".join(["cat"] * 75)])  # with start and end
    with pytest.raises(TextError, match="more than 77"):
        encoders["vit"].encode_text(["sky", " ".join(["cat"] * 76)])


def test_a_tokenizer_that_is_not_there_is_a_sentence(models, tmp_path, monkeypatch):
    # without this, huggingface_hub 2.4 asks the hub for its list of coding agents
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)
    text = {**SIGLIP_TEXT, "hf_tokenizer_name": "someone/tokenizer"}
    state = models["siglip"].state_dict()
    folder = save_folder(tmp_path / "folder", "siglip", state, text_cfg=text)
    with pytest.raises(UserError, match="hf download someone/tokenizer|pip install transformers"):
        build_encoder(f"open_clip:{folder}")


def test_a_tokenizer_beside_the_weights(models, tmp_path):
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer
    from tokenizers import models as kinds
    from tokenizers import pre_tokenizers, processors

    words = Tokenizer(kinds.WordLevel({"<pad>": 0, "</s>": 1, "?": 2, "cat": 3}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    text = {**SIGLIP_TEXT, "context_length": 8, "vocab_size": 4, "hf_tokenizer_name": "a/b"}
    text["tokenizer_kwargs"] = {"clean": "canonicalize"}
    config = {"embed_dim": 64, "text_cfg": text, "vision_cfg": CONFIGS["siglip"]["vision_cfg"]}
    model = open_clip.CustomTextCLIP(**config, init_logit_bias=-10).eval()
    folder = save_folder(tmp_path / "folder", "siglip", model.state_dict(), text_cfg=text)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="?"
    ).save_pretrained(folder)
    encoder = build_encoder(f"open_clip:{folder}")
    with torch.no_grad():
        row = model.encode_text(torch.tensor([[3, 2, 1, 0, 0, 0, 0, 0]]), normalize=True)
    assert_near(encoder.encode_text(["Cat, dog!"]), row)
    encoder.encode_text(["cat " * 7])
    with pytest.raises(TextError):
        encoder.encode_text(["cat " * 8])


def test_a_missing_package_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    monkeypatch.delitem(sys.modules, "zsk.classification.open_clip_encoder", raising=False)
    with pytest.raises(UserError, match="pip install 'open-clip-torch.*open_clip]"):
        build_encoder("open_clip:ViT-B-16/laion2b_s34b_b88k")
