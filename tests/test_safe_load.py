"""Files of weights: what is read, what is refused without being executed, how damage is told."""

import argparse
import pickle
import re

import numpy as np
import pytest
import safetensors.torch
import torch
from faulty_data import Evil

from zsk.errors import UserError
from zsk.safe_load import read_file, save_file

HARMLESS = {
    "tensor": torch.arange(3.0),
    "scalars": [np.float64(1.5), np.int64(2), np.bool_(True)],
    "array": np.arange(6, dtype=np.float32).reshape(2, 3),
    "args": argparse.Namespace(lr=np.float32(0.5), names=["a"]),
}


def save_pickle(content, path, protocol=2) -> None:
    path.write_bytes(pickle.dumps(content, protocol=protocol))


def test_numpys_scalars_and_a_namespace_are_read(tmp_path) -> None:
    torch.save(HARMLESS, tmp_path / "a.pth")
    content = read_file(tmp_path / "a.pth")
    assert content["tensor"].tolist() == [0, 1, 2]
    assert content["scalars"] == HARMLESS["scalars"] and content["args"] == HARMLESS["args"]
    assert np.array_equal(content["array"], HARMLESS["array"])


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_of_arrays_is_read(tmp_path, protocol: int) -> None:
    content = {"strided": np.arange(6)[::2], "number": np.float32(2), "tensor": torch.ones(2)}
    save_pickle({"model": content, "__author__": "x"}, tmp_path / "a.pkl", protocol)
    model = read_file(tmp_path / "a.pkl")["model"]
    assert model["strided"].tolist() == [0, 2, 4] and model["number"] == 2
    assert model["tensor"].tolist() == [1, 1]


def test_arrays_of_numpy_1_are_read(tmp_path) -> None:
    text = pickle.dumps({"a": np.ones(2)}, protocol=0).replace(b"numpy._core", b"numpy.core")
    assert b"numpy.core.multiarray" in text
    (tmp_path / "a.pkl").write_bytes(text)
    assert read_file(tmp_path / "a.pkl")["a"].tolist() == [1, 1]


@pytest.mark.parametrize("name", ["a.safetensors", "a.PKL", "a.ckpt", "a.bin", "a"])
def test_the_content_decides_what_a_file_is(tmp_path, name: str) -> None:
    for save in (save_pickle, torch.save):
        save({"a": np.ones(2)}, tmp_path / name)
        assert read_file(tmp_path / name)["a"].tolist() == [1, 1]


@pytest.mark.parametrize(
    "name, save",
    [("a.pth", torch.save), ("a.pkl", save_pickle), ("a.PKL", save_pickle), ("a", save_pickle)],
)
def test_what_could_run_code_is_named_and_not_run(tmp_path, name, save) -> None:
    for content, culprit in (
        (Evil(tmp_path / "written"), r"io\.open"),
        (np.array([{}]), r"numpy\.object"),
        (re.compile("a"), r"re\._compile"),
    ):
        save({"model": {}, "x": content}, tmp_path / name)
        with pytest.raises(
            UserError, match=f"{name} cannot be read: it holds .* of {culprit}"
        ) as e:
            read_file(tmp_path / name)
        assert "\x1b" not in str(e.value) and "weights_only" not in str(e.value)
    assert not (tmp_path / "written").exists()


def test_damage_is_told(tmp_path) -> None:
    torch.save({"a": torch.arange(1000.0)}, tmp_path / "a.pth")
    whole = (tmp_path / "a.pth").read_bytes()
    middle = whole.index(torch.arange(1000.0).numpy().tobytes()) + 400
    flipped = bytearray(whole)
    flipped[middle] ^= 1
    for content, reason in (
        (whole[: len(whole) // 2], "its end is missing"),
        (bytes(flipped), "the checksum of its part a/data/0 is wrong"),
        (b"", "it is empty"),
        (b"text", "it is damaged or no checkpoint"),
    ):
        (tmp_path / "a.pth").write_bytes(content)
        with pytest.raises(UserError, match=reason):
            read_file(tmp_path / "a.pth")
    with pytest.raises(UserError, match="is no file"):
        read_file(tmp_path)


STATE = {
    "weight": torch.randn(3, 4).t(),  # not contiguous
    "count": torch.tensor(3),
    "half": torch.randn(2).bfloat16(),
    "none": torch.zeros(0, 5),
    "mask": torch.tensor([True, False]),
}
STATE["tied"] = STATE["weight"]
NOTES = {"trained_on": ["cat", "café"], "trainer": {"settings": {"x": [1, 2.5], "y": "z"}}}


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "A.SAFETENSORS"])
def test_tensors_and_notes_come_back_bit_by_bit(tmp_path, name) -> None:
    save_file(tmp_path / name, {**STATE, **NOTES})
    content = read_file(tmp_path / name)
    assert {key: content.pop(key) for key in NOTES} == NOTES
    assert content.keys() == STATE.keys()
    for key, value in STATE.items():
        assert content[key].dtype == value.dtype and torch.equal(content[key], value)
    (tmp_path / name).rename(tmp_path / "other.bin")  # the content decides, not the name
    assert read_file(tmp_path / "other.bin")["trained_on"] == NOTES["trained_on"]


def test_a_models_tensors_stand_at_the_top_of_a_safetensors_file(tmp_path) -> None:
    save_file(tmp_path / "a.safetensors", {"model": STATE, **NOTES})
    assert read_file(tmp_path / "a.safetensors").keys() == STATE.keys() | NOTES.keys()
    plain = safetensors.torch.load_file(tmp_path / "a.safetensors")
    assert plain.keys() == STATE.keys()  # as other programs read it
    safetensors.torch.save_file(plain, tmp_path / "b.safetensors", {"author": "1"})  # theirs
    assert read_file(tmp_path / "b.safetensors").keys() == STATE.keys()


def test_damage_of_a_safetensors_file_is_told(tmp_path) -> None:
    file = tmp_path / "a.safetensors"
    save_file(file, STATE)
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[-3] ^= 1
    for content, reason in (
        (whole[:-3], "not fully covered"),
        (whole[:5], "header"),
        (bytes(flipped), "the checksum of its tensors is wrong"),
        (b"", "it is empty"),
        (b"<html> <body>not found", "header"),
        (b"version https://git-lfs.github.com/spec/v1", "header"),
    ):
        file.write_bytes(content)
        with pytest.raises(UserError, match=f"a.safetensors cannot be read: .*{reason}") as e:
            read_file(file)
        assert "\n" not in str(e.value)


def test_a_state_of_a_training_has_no_place_in_safetensors(tmp_path) -> None:
    for part in ({"state": {"0": {"step": torch.ones(1)}}}, {"state": {0: 1}}, (1, 2)):
        with pytest.raises(UserError, match="a.safetensors .* no state of a training.*in .pth"):
            save_file(tmp_path / "a.safetensors", {"model": STATE, "optimizer": part})
    assert not list(tmp_path.iterdir())


def test_files_of_the_old_format_are_read(tmp_path) -> None:
    torch.save(HARMLESS, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "a.pth").rename(tmp_path / "a.pkl")
    assert read_file(tmp_path / "a.pkl")["tensor"].tolist() == [0, 1, 2]
