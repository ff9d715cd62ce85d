import logging
import os
from pathlib import Path

import pytest
import torch
from tiny_clip import ColourEncoder

from zsk.classification import text_cache
from zsk.classification.text_cache import cache_folder
from zsk.classification.text_classifier import TextClassifier
from zsk.vocabulary import Vocabulary

WORDS = ("red", "green")


@pytest.fixture(autouse=True)
def any_number_of_texts(monkeypatch) -> None:
    monkeypatch.setattr(text_cache, "MIN_TEXTS_CPU", 1)


def encoded(folder: Path, *words: str, template: str = "{}", weight: float = 1.0) -> list[str]:
    """What a program that starts anew encodes."""
    encoder = ColourEncoder()
    torch.nn.init.constant_(encoder.network("scale").weight, weight)
    vocabulary = Vocabulary.from_words(words or WORDS)
    rows = TextClassifier(encoder, [template], folder)(vocabulary)
    assert torch.equal(rows, TextClassifier(encoder, [template])(vocabulary))
    return encoder.texts[: len(encoder.texts) - len(vocabulary)]  # without those of the check


def test_a_second_start_encodes_nothing(tmp_path: Path) -> None:
    assert encoded(tmp_path) == ["red", "green"]
    assert encoded(tmp_path) == []
    assert [file.suffix for file in tmp_path.iterdir()] == [".safetensors"]


def test_other_weights_templates_names_or_order_are_encoded(tmp_path: Path) -> None:
    encoded(tmp_path)
    assert encoded(tmp_path, weight=1.01) == ["red", "green"]
    assert encoded(tmp_path, template="a {}") == ["a red", "a green"]
    assert encoded(tmp_path, "green", "red") == ["green", "red"]
    assert encoded(tmp_path, "red") == ["red"]
    assert encoded(tmp_path) == []


BAD = {
    "one bit": lambda good: good[:-1] + bytes([good[-1] ^ 1]),
    "other header": lambda good: bytes(32) + good[32:],
}


@pytest.mark.parametrize("kind", BAD)
def test_a_damaged_file_is_written_anew(tmp_path: Path, kind: str) -> None:
    encoded(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(BAD[kind](file.read_bytes()))
    assert encoded(tmp_path) == ["red", "green"]
    assert encoded(tmp_path) == []


def test_what_is_no_file_is_not_read(tmp_path: Path, caplog) -> None:
    encoded(tmp_path)
    (file,) = tmp_path.iterdir()
    file.unlink()
    with file.open("wb") as sparse:
        sparse.truncate(10**10)  # takes no room on the disk, but would in memory
    assert encoded(tmp_path) == ["red", "green"] and encoded(tmp_path) == []
    file.unlink()
    os.mkfifo(file)
    assert encoded(tmp_path) == ["red", "green"] and encoded(tmp_path) == []
    file.unlink()
    file.mkdir()
    with caplog.at_level(logging.WARNING):
        assert encoded(tmp_path) == ["red", "green"]
    assert f"{file} cannot be written" in caplog.text


def test_a_folder_that_cannot_be_written_to_costs_a_warning(tmp_path: Path, caplog) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        assert encoded(tmp_path / "file" / "folder") == ["red", "green"]
    assert "set ZSK_CACHE_DIR" in caplog.text and caplog.text.count("WARNING") == 1


def test_few_texts_are_not_worth_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(text_cache, "MIN_TEXTS_CPU", 3)
    assert encoded(tmp_path) == ["red", "green"]
    assert not list(tmp_path.iterdir())


def test_the_folder(monkeypatch) -> None:
    monkeypatch.setenv("ZSK_CACHE_DIR", os.path.join("some", "where"))
    assert cache_folder() == Path("some/where/text")
    monkeypatch.delenv("ZSK_CACHE_DIR")
    assert cache_folder() == Path.home() / ".cache" / "zsk-net" / "text"
