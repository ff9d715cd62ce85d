import hashlib
import pickle
import warnings
import zipfile
from pathlib import Path

import clip
import pytest
import torch
from faulty_data import Evil
from tiny_clip import make_tiny_clip, save_tiny_clip
from torch.nn import functional as F

from zsk.classification import clip_encoder
from zsk.classification.build import build_encoder
from zsk.classification.clip_encoder import CLIP, ClipEncoder
from zsk.classification.clip_file import check_openai, read_clip_file
from zsk.errors import UserError

TEXTS = ["a photo of a cat.", "sky"]


def test_same_numbers_as_the_model_it_holds(tiny_clip):
    encoder, reference = build_encoder(str(tiny_clip)), make_tiny_clip()
    crops = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        text = F.normalize(reference.encode_text(clip.tokenize(TEXTS)), dim=1)
        image = F.normalize(reference.encode_image(crops), dim=1)
    torch.testing.assert_close(encoder.encode_text(TEXTS), text)
    torch.testing.assert_close(encoder.encode_image(crops), image)
    assert (encoder.embed_dim, encoder.input_size) == (32, 64)
    assert encoder.logit_scale == pytest.approx(1 / 0.07)  # CLIP's initial value


def test_the_input_size_comes_from_the_file(tmp_path):
    encoder = ClipEncoder(str(save_tiny_clip(tmp_path / "large.pt", input_size=96)))
    assert encoder.input_size == 96
    assert encoder.encode_image(torch.zeros(1, 3, 96, 96)).shape == (1, 32)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The tiny CLIP as OpenAI publishes its models."""
    model = make_tiny_clip()
    for name in ("input_resolution", "context_length", "vocab_size"):
        value = torch.tensor(getattr(model, name, 64))
        model.__dict__.pop(name, None)
        model.register_buffer(name, value)
    example = (torch.zeros(1, 3, 64, 64), clip.tokenize(["x"]))
    path = tmp_path_factory.mktemp("clip") / "archive.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated
        traced = torch.jit.trace(model, example, check_trace=False)
    traced.visual.half()  # the published weights are, on a GPU
    traced.save(str(path))
    return path


@pytest.mark.filterwarnings("ignore")  # loading, too
def test_a_torchscript_archive_holds_the_tensors_that_torch_reads(archive):
    wanted = torch.jit.load(str(archive)).state_dict()
    found = read_clip_file(archive)
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value), name


def test_a_torchscript_archive_is_read_without_its_code(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.jit, "load", None)
    encoder = ClipEncoder(str(archive))
    torch.testing.assert_close(
        encoder.encode_text(TEXTS),
        ClipEncoder(str(save_tiny_clip(tmp_path / "a.pt"))).encode_text(TEXTS),
    )


def test_a_torchscript_archive_that_calls_something_is_not_run(archive, tmp_path):
    evil = pickle.dumps(Evil(tmp_path / "written"), protocol=2)
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(tmp_path / "a.pt", "w") as target:
        for name in source.namelist():
            target.writestr(name, evil if name.endswith("/data.pkl") else source.read(name))
    with pytest.raises(UserError, match="a.pt holds no complete OpenAI CLIP model"):
        build_encoder(str(tmp_path / "a.pt"))
    assert not (tmp_path / "written").exists()


def test_a_torchscript_archive_that_sets_attributes_of_the_reader(archive, tmp_path):
    """It would make every later archive unreadable."""
    stored = b"\x80\x02c__torch__\nX\nN}U\x08__init__K\x05s\x86b."
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as target:
        target.writestr("a/data.pkl", stored)
        target.writestr("a/code/x.py", "")
    with pytest.raises(UserError, match="a.pt"):
        read_clip_file(tmp_path / "a.pt")
    assert read_clip_file(archive)


def test_a_torchscript_archive_with_a_changed_bit_is_refused(archive, tmp_path):
    data = bytearray(archive.read_bytes())
    bits = read_clip_file(archive)["ln_final.weight"].numpy().tobytes()
    data[data.index(bits) + 7] ^= 1
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(UserError, match="a.pt cannot be read.*Bad CRC-32"):
        build_encoder(str(tmp_path / "a.pt"))


def test_a_name_is_looked_for_in_the_users_folder_and_in_clips_cache(
    tiny_clip, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ZSK_CLIP_DIR", str(tmp_path / "mine"))
    with pytest.raises(UserError) as caught:
        build_encoder("ViT-L/14@336px")
    for part in ("ViT-L-14-336px.pt", str(tmp_path / "mine"), ".cache/clip", "clip.load('ViT-L"):
        assert part in str(caught.value)
    assert {len(url.split("/")[-2]) for url in clip.clip._MODELS.values()} == {64}
    sha256 = hashlib.sha256(tiny_clip.read_bytes()).hexdigest()
    published = dict.fromkeys(("ViT-L/14@336px", "ViT-B/16"), f"https://host/{sha256}/x.pt")
    monkeypatch.setattr("clip.clip._MODELS", published)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "ViT-L-14-336px.pt").write_bytes(tiny_clip.read_bytes())
    assert build_encoder("ViT-L/14@336px").embed_dim == 32
    (tmp_path / ".cache" / "clip").mkdir(parents=True)
    (tmp_path / ".cache" / "clip" / "ViT-B-16.pt").write_bytes(tiny_clip.read_bytes())
    assert build_encoder("ViT-B/16").embed_dim == 32
    other = save_tiny_clip(tmp_path / ".cache" / "clip" / "ViT-B-16.pt", seed=1)
    with pytest.raises(UserError, match="ViT-B-16.pt is not the published file of CLIP ViT-B/16"):
        build_encoder("ViT-B/16")
    assert build_encoder(str(other)).embed_dim == 32  # its path is no such promise


def without(state, name):
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {"weight": torch.zeros(2)},
        lambda state: without(state, "text_projection"),
        lambda state: without(state, "transformer.resblocks.0.mlp.c_fc.weight"),
        lambda state: state | {"visual.proj": torch.zeros(2, 2)},
        lambda state: list(state.values())[:2],
    ],
)
def test_a_file_without_a_whole_model_is_named(tiny_clip, tmp_path, change):
    torch.save(change(torch.load(tiny_clip, weights_only=True)), tmp_path / "partial.pt")
    with pytest.raises(UserError, match="partial.pt"):
        build_encoder(str(tmp_path / "partial.pt"))


TEXT_LAYER = "transformer.resblocks.0.mlp.c_fc.weight"
LAION = {"ln_final.weight": torch.ones(512), TEXT_LAYER: torch.full((2, 2), 0.1)}


@pytest.mark.parametrize(
    "file, state",
    [
        ("a.pt", {"text.ln_final.weight": torch.ones(2)}),
        ("a.pt", {"visual.trunk.norm.weight": torch.ones(2)}),
        ("a.pt", {"state_dict": {"logit_scale": torch.ones(())}, "epoch": 3}),
        ("open_clip_pytorch_model.bin", {}),
        ("a.pt", LAION),
    ],
)
def test_what_may_have_another_activation_is_refused(tiny_clip, tmp_path, file, state):
    """open_clip's models have the keys of OpenAI's, and most of them GELU."""
    torch.save(torch.load(tiny_clip, weights_only=True) | state, tmp_path / file)
    with pytest.raises(UserError, match=f"open_clip:MODEL/TAG:{tmp_path}/{file}.*openai:"):
        build_encoder(str(tmp_path / file))


@pytest.mark.parametrize("declared", ["", "openai:"])
def test_a_tower_that_is_wider_than_openais_is_refused(tiny_clip, tmp_path, declared):
    """Their class has heads of 64 channels, a wider model of open_clip's has others."""
    wide = {"visual.conv1.weight": torch.zeros(1280, 3, 14, 14)}
    torch.save(torch.load(tiny_clip, weights_only=True) | wide, tmp_path / "a.pt")
    with pytest.raises(UserError, match=f"wider than any .* open_clip:MODEL/TAG:{tmp_path}/a.pt"):
        build_encoder(f"{declared}{tmp_path}/a.pt")


def test_a_file_beside_open_clips_configuration_is_refused_unless_told(tiny_clip, tmp_path):
    file = tmp_path / "tiny.pt"
    file.write_bytes(tiny_clip.read_bytes())
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(UserError, match="may have GELU"):
        build_encoder(str(file))
    assert build_encoder(f"openai:{file}").embed_dim == 32


def test_copies_of_openais_weights_in_single_precision_are_read():
    halves = LAION | {TEXT_LAYER: torch.full((2, 2), 0.1).half().float()}
    check_openai(Path("a.pt"), halves, declared=False)
    check_openai(Path("a.pt"), LAION, declared=True)


def test_a_small_file_is_taken_for_openais_class_with_a_line(caplog):
    small = LAION | {"ln_final.weight": torch.ones(511)}
    with caplog.at_level("INFO", logger="zsk.classification.clip_file"):
        check_openai(Path("a.pt"), small, declared=False)
    assert "a.pt is taken for a model of OpenAI's class with QuickGELU" in caplog.text


def test_pixels_are_normalised_in_0_to_255():
    assert clip_encoder.PIXEL_MEAN == pytest.approx((122.7709, 116.7460, 104.0937), abs=1e-3)
    assert clip_encoder.PIXEL_STD == pytest.approx((68.5005, 66.6322, 70.3232), abs=1e-3)


def test_the_fingerprint_is_of_both_towers(tiny_clip, tmp_path):
    whole = ClipEncoder(str(tiny_clip)).fingerprint()
    for changed in ("visual.proj", "text_projection"):
        state = torch.load(tiny_clip, weights_only=True)
        state[changed] += 1
        torch.save(state, tmp_path / "changed.pt")
        assert ClipEncoder(str(tmp_path / "changed.pt")).fingerprint() != whole


def test_texts_of_a_test_serve_in_training(tiny_clip):
    encoder = ClipEncoder(str(tiny_clip))
    with torch.inference_mode():
        encoder.encode_text(TEXTS)
    prefix = torch.ones(1, 64, requires_grad=True)
    encoder.encode_in_context(["cat"], prefix, torch.zeros(0, 64))[0, 0].backward()
    assert prefix.grad.abs().sum() > 0


def test_building_draws_no_random_numbers(tiny_clip):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    ClipEncoder(str(tiny_clip))
    assert torch.equal(torch.rand(1), expected)


def test_counts_of_batch_norms_may_be_missing_or_halves(tmp_path):
    """As in files without them, and in those of `save_state`, which halves everything."""
    state = CLIP(16, 64, (1, 1, 1, 1), 8, None, 40, 49408, 64, 1, 2).state_dict()
    counts = [key for key in state if key.endswith("num_batches_tracked")]
    assert counts
    files = {
        "whole": state,
        "halves": {key: value.half() for key, value in state.items()},
        "missing": {key: value for key, value in state.items() if key not in counts},
    }
    fingerprints = set()
    for name, content in files.items():
        torch.save(dict(content), tmp_path / name)
        encoder = ClipEncoder(str(tmp_path / name))
        assert encoder.network("clip").state_dict()[counts[0]].dtype == torch.int64
        fingerprints.add(encoder.fingerprint())
    assert len(fingerprints) == 1
