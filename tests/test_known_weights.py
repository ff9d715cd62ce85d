"""Weights by name and by an address of the hub: local files, sentences, and no network."""

import shutil
import sys

import huggingface_hub
import pytest
import torch

from zsk.classification.build import build_encoder
from zsk.cli import train
from zsk.engine.checkpoint import load_weights
from zsk.engine.initial_weights import initial_weights
from zsk.errors import UserError
from zsk.known_weights import KNOWN, by_name, local_file
from zsk.resources import find_resource
from zsk.safe_load import save_file

CONVERT = "zsk convert"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of weights."""
    monkeypatch.setenv("ZSK_WEIGHTS_DIR", str(tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Stands in for the hub, which has one file; the requests are listed."""
    asked = []

    def download(repository, file, revision=None):
        asked.append((repository, file, revision))
        if file != "sub/a.safetensors":
            raise FileNotFoundError(f"404: no {file}\n\nIts address is long.")
        return str(tmp_path / "a.safetensors")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def test_the_model_of_the_package_is_checked_by_its_sha256(folder):
    config, weights = by_name("zsk_lite2", None)
    assert config == str(find_resource("configs/embedded/zsk_lite2.yaml"))
    assert weights == "zsk_lite2" and local_file(weights) == config.replace(".yaml", ".pth")
    (folder / "configs" / "embedded").mkdir(parents=True)  # the user's folder goes first
    own = folder / KNOWN["zsk_lite2"].file
    own.write_bytes(find_resource(KNOWN["zsk_lite2"].file).read_bytes() + b"x")
    with pytest.raises(UserError, match="zsk_lite2.pth is not the published file of zsk_lite2"):
        local_file("zsk_lite2")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_converted_model_is_found_with_its_configuration(folder, tmp_path, monkeypatch, suffix):
    with pytest.raises(UserError) as missing:
        by_name(None, "maskformer_r50")
    for part in (f"{folder}/maskformer_r50.pth", "model_final_d8dbeb.pkl", "CC BY-NC", CONVERT):
        assert part in str(missing.value)
    (folder / f"maskformer_r50{suffix}").touch()
    with pytest.raises(UserError, match=f"not at {folder}/maskformer_r50.yaml: {CONVERT}"):
        by_name(None, "maskformer_r50")
    (folder / "maskformer_r50.yaml").touch()
    config = str(folder / "maskformer_r50.yaml")
    assert by_name(None, "maskformer_r50") == (config, "maskformer_r50")
    assert by_name("", "maskformer_r50") == (config, "maskformer_r50")  # train_net.py's default
    assert by_name("maskformer_r50", "a.pth") == (config, "a.pth")
    assert by_name("a.yaml", "maskformer_r50") == ("a.yaml", "maskformer_r50")
    for mine in (tmp_path / "mine.pth", tmp_path / "mine.safetensors"):
        mine.touch()
        mine.with_suffix(".yaml").touch()
        assert by_name(mine, None) == by_name(None, mine) == (str(mine.with_suffix(".yaml")), mine)
    assert local_file("maskformer_r50") == str(folder / f"maskformer_r50{suffix}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maskformer_r50").mkdir()  # hides no name
    assert by_name(None, "maskformer_r50") == (config, "maskformer_r50")
    (tmp_path / "maskformer_r50").rmdir()
    (tmp_path / "maskformer_r50").touch()  # a path goes first
    (tmp_path / "maskformer_r50.yaml").touch()
    assert by_name(None, "maskformer_r50") == ("maskformer_r50.yaml", "maskformer_r50")
    assert local_file("maskformer_r50") == "maskformer_r50"


def test_two_files_of_one_name_are_refused(folder, monkeypatch):
    """One of them is older, perhaps of another conversion than the configuration."""
    for suffix in (".pth", ".safetensors", ".yaml"):
        (folder / f"maskformer_r50{suffix}").touch()
    for ask in (lambda name: by_name(None, name), local_file):
        with pytest.raises(UserError, match="are both .*50.pth and maskformer_r50.safetensors: de"):
            ask("maskformer_r50")
    monkeypatch.setenv("ZSK_WEIGHTS_DIR", str(folder / "maskformer_r50.pth"))
    with pytest.raises(UserError, match="maskformer_r50.pth, is a file: set ZSK_WEIGHTS_DIR to a"):
        by_name(None, "maskformer_r50")


def test_a_file_of_weights_brings_the_configuration_beside_it(tmp_path):
    file = tmp_path / "model.pth"
    with pytest.raises(UserError, match="model.pth does not exist"):
        by_name(None, file)
    file.touch()
    for weights in (file, "hf://user/repository/model.pth"):
        with pytest.raises(UserError, match="model.pth without a configuration: give --config-fi"):
            by_name("", weights)
    assert by_name("a.yaml", file) == ("a.yaml", file)
    file.with_suffix(".yaml").touch()
    assert by_name(None, file) == (str(tmp_path / "model.yaml"), file)


def test_a_name_that_is_not_there_is_told_with_those_that_are():
    for given in ((None, "zsk_lite3"), ("zsk_lite3", None)):
        with pytest.raises(UserError, match="no weights of that name: .* zsk_lite2, zsseg_coco"):
            by_name(*given)
    with pytest.raises(UserError, match="zsk_lite3 does not exist: .* zsk_lite2, zsseg_coco"):
        load_weights(torch.nn.Linear(1, 1), "zsk_lite3")


def test_the_option_of_zsk_train_goes_before_model_weights(monkeypatch, tmp_path):
    def options(*arguments):
        got = []
        monkeypatch.setattr(train, "run_in_processes", lambda _, args: got.append(args))
        monkeypatch.setattr(sys, "argv", ["train_net.py", *arguments])
        train.main()
        return got[0].config_file, got[0].opts

    config = str(find_resource("configs/embedded/zsk_lite2.yaml"))
    assert options("--weights", "zsk_lite2", "SEED", "1", "MODEL.WEIGHTS", "a.pth") == (
        config,
        ["SEED", "1", "MODEL.WEIGHTS", "a.pth", "MODEL.WEIGHTS", "zsk_lite2"],
    )
    given = ("--config-file", "a.yaml", "--weights", "hf://user/repository/a.pth")
    assert options(*given) == ("a.yaml", ["MODEL.WEIGHTS", "hf://user/repository/a.pth"])
    assert options("--config-file", "a.yaml") == ("a.yaml", [])
    monkeypatch.chdir(tmp_path)  # a configuration of the package needs no path to it
    assert options("--config-file", "configs/embedded/zsk_lite2.yaml") == (config, [])


def test_a_file_of_the_hub_is_asked_for_once_where_it_is_read(hub, tiny_clip, tmp_path):
    model = torch.nn.ModuleDict({"backbone": torch.nn.Linear(2, 3)})
    save_file(tmp_path / "a.safetensors", {"model": model.state_dict()})
    address = "hf://user/repository@v1/sub/a.safetensors"
    for load in (load_weights, initial_weights):
        other = torch.nn.ModuleDict({"backbone": torch.nn.Linear(2, 3)})
        load(other, address)
        assert torch.equal(other["backbone"].weight, model["backbone"].weight)
    assert hub == [("user/repository", "sub/a.safetensors", "v1")] * 2
    shutil.copy(tiny_clip, tmp_path / "a.safetensors")
    assert build_encoder("hf://user/repository/sub/a.safetensors").embed_dim == 32


def test_what_the_hub_has_not_is_one_sentence(hub, monkeypatch):
    with pytest.raises(UserError, match=r"b.pth cannot be fetched \(FileNotFoundError: 404") as e:
        local_file("hf://user/repository/b.pth")
    assert "long" not in str(e.value) and "local file" in str(e.value)
    with pytest.raises(UserError, match="hf://user/b.pth is no address of a file"):
        local_file("hf://user/b.pth")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # makes the import fail
    with pytest.raises(UserError, match="pip install huggingface_hub"):
        local_file("hf://user/repository/b.pth")
