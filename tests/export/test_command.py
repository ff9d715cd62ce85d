"""`zsk export`: its files, its check, and what it refuses."""

import copy
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image
from test_fixed_look import build_tiny
from torch import nn

from zsk.cli import export as command
from zsk.config import default_config
from zsk.errors import UserError
from zsk.export import formats
from zsk.export.words import write_words
from zsk.looks.test_time_augmentation import ZSKNetWithTTA
from zsk.looks.tiles import ZSKNetInTiles
from zsk.vocabulary import Vocabulary

PHOTO = str(Path(skimage.__file__).parent / "data" / "chelsea.png")


class TinySegmenter:
    """A tiny model in place of the one that the options name."""

    model = None
    cfg = default_config()
    origin = {"config": "configs/embedded/zsk_lite2.yaml"}

    def __init__(self, *options):
        pass

    def vocabulary(self, words):
        return Vocabulary.from_words(words, ("cat",), ())


@pytest.fixture(scope="module")
def tiny_model(tiny_clip):
    return build_tiny("kernels", str(tiny_clip))


@pytest.fixture
def tiny(monkeypatch, tiny_model):
    monkeypatch.setattr(TinySegmenter, "model", tiny_model)
    monkeypatch.setattr(command, "Segmenter", TinySegmenter)
    return tiny_model


def run(folder, *options):
    return command.main(["--output", str(folder), "--words", "cat, a dog, sky", *options])


def test_words_alone(tiny, tmp_path, capsys):
    run(tmp_path / "a/b", "--words-only")
    words = dict(np.load(tmp_path / "a/b/words.npz"))  # numpy refuses pickles by itself
    assert words["names"].tolist() == ["cat", "a dog", "sky"]
    assert words["seen"].tolist() == [True, False, False]
    assert words["text"].shape == (3, 32) and words["no_object"].shape == (1, 32)
    assert float(words["head_temperature"]) == 100.0 and float(words["lam"]) == 0.7
    assert str(words["mode"]) == "ensemble" and str(words["classifier"]) == "text"
    assert "3 words" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"words\.npz exists: .* --overwrite"):
        run(tmp_path / "a/b", "--words-only")
    run(tmp_path / "a/b", "--words-only", "--overwrite")
    for key, other in {"network": "of another model", "mode": "clip"}.items():
        np.savez(tmp_path / "a/b/words.npz", **{**words, key: other})
        with pytest.raises(UserError, match=r"words\.npz is of another model than the one given"):
            run(tmp_path / "a/b", "--words-only", "--overwrite")
    (tmp_path / "a/b/look.pt2").touch()  # a network that the new words would not fit
    with pytest.raises(UserError, match=r"words\.npz is of another model than the one given"):
        run(tmp_path / "a/b", "--format", "torchscript", "--overwrite")
    with pytest.raises(UserError, match="'cat' has kitten beside it"):
        command.main(["--output", str(tmp_path), "--words", "cat|kitten, dog", "--words-only"])


def test_words_are_refused_before_the_network_is_exported(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "write_look", lambda *_: pytest.fail("it takes minutes"))
    options = ["--format", "torchscript", "--size", "64", "64", "--words", "cat|kitten, dog"]
    with pytest.raises(UserError, match="'cat' has kitten beside it"):
        command.main(["--output", str(tmp_path), *options])


@pytest.mark.parametrize("size", [("0", "64"), ("64", "-32"), ("64", "65")])
def test_sizes_that_the_masks_would_not_cover(tiny, tmp_path, size):
    with pytest.raises(UserError, match="--size .* multiples of 32, .* such as --size"):
        run(tmp_path, "--format", "torchscript", "--size", *size)


def test_the_size_by_default(tiny):
    test = default_config().INPUT
    asked = {(384, 1024): (384, 512), (1, 9): (32, 32), (384, 256): (192, 256)}
    for (smallest, largest), size in asked.items():
        test.MIN_SIZE_TEST, test.MAX_SIZE_TEST = smallest, largest
        assert command.export_size(tiny, None, test) == size
    test.MIN_SIZE_TEST = 0
    with pytest.raises(UserError, match="leaves photos as they are: give --size"):
        command.export_size(tiny, None, test)


def test_an_output_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file cannot be written"):
        run(tmp_path / "file", "--format", "torchscript")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package(tmp_path, monkeypatch, package):
    there = {"onnx", "onnxscript", "onnxruntime"} - {package}
    monkeypatch.setattr(formats, "find_spec", lambda name: name in there or None)
    with pytest.raises(
        UserError, match=f"{package}, which is not installed: run `pip install onnx"
    ):
        run(tmp_path, "--check")


def test_options_that_are_none(tmp_path, capsys):
    for options in (["--format", "tflite"], ["--words-only", "--check"]):
        with pytest.raises(SystemExit):
            run(tmp_path, *options)
    assert "choose from" in capsys.readouterr().err


def test_models_that_look_in_another_way(tiny_model):
    assert command.exportable(tiny_model) is tiny_model
    several = ZSKNetInTiles(tiny_model, 64), ZSKNetWithTTA(tiny_model, [64], 128, False)
    for other in (*several, nn.Linear(1, 1)):
        with pytest.raises(UserError, match=r"ZSKNet, TEST\.TILES 0 and TEST\.AUG\.ENABLED False"):
            command.exportable(other)


class Unexportable(nn.Module):
    """A part whose next step depends on a value."""

    def forward(self, images):
        return {} if images.sum() > 0 else None


@pytest.mark.slow
def test_a_part_that_cannot_be_exported(tiny, tmp_path, monkeypatch):
    broken = copy.deepcopy(tiny)  # torch.export leaves it in pieces
    broken.backbone = Unexportable()
    monkeypatch.setattr(TinySegmenter, "model", broken)
    with pytest.raises(UserError, match="cannot be exported as torchscript .*: try another"):
        run(tmp_path, "--format", "torchscript", "--size", "64", "64")
    assert not list(tmp_path.iterdir()) and logging.root.manager.disable == 0


@pytest.mark.slow
@pytest.mark.parametrize("format", formats.FILES)
def test_the_labels_of_an_export(tiny, tmp_path, capsys, format):
    if format == "onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(package)
    size = ["--size", "64", "96"]
    run(tmp_path, "--format", format, *size, "--check", PHOTO)
    row = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(
        r"\| zsk_lite2 \| \S+ \| 64×96 \| 1 (\| \d\.\de-0\d ){3}.*100.0000% \|", row
    )
    assert "over" not in row  # all within 1e-3


@pytest.mark.slow
def test_an_export_with_other_labels_is_refused(tiny, tmp_path, monkeypatch):
    def turned_words(path, words):
        write_words(
            path, words | {key: np.roll(words[key], 1, 0) for key in ("text", "region_text")}
        )

    monkeypatch.setattr(command, "write_words", turned_words)
    with pytest.raises(UserError, match="do not use it"):
        run(tmp_path, "--format", "torchscript", "--size", "64", "96", "--check", PHOTO)


@pytest.mark.slow
def test_the_page_of_the_export(checkout, tmp_path, monkeypatch):
    """The embedded model, exported by the command and used by the lines of docs/export.md."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    options = ["--size", "96", "128", "--check", PHOTO, "--words", "cat, sofa, wall"]
    command.main(["--output", "exported", *options])
    Image.open(PHOTO).save("photo.jpg")
    page = (checkout / "docs/export.md").read_text()
    lines = "\n".join(re.findall(r"```python\n(.*?)```", page, re.S))
    used: dict = {}
    exec(lines, used)
    assert used["labels"].shape == (300, 451) and used["words"]["names"][0] == "cat"
