"""What a user gives as class names: read in its natural meaning, or refused with a sentence."""

import os
from pathlib import Path

import numpy as np
import pytest

from zsk.errors import UserError
from zsk.words import class_words, option_words

NAMES = ["cat", "red bus", "sky"]


@pytest.mark.parametrize(
    "words",
    [
        "cat, red bus ,sky",
        "cat; red bus; sky;",
        "cat\nred  bus\r\n\nsky\n",
        "\ufeffcat,\nred bus,\nsky,",
        "cat\tred bus\tsky",
        "cat，red bus、sky",
        "cat، red bus؛ sky",
        "cat, red bus . , sky.",
        ("cat", "red bus", " sky "),
        (name for name in NAMES),
        np.array(NAMES),
        dict.fromkeys(NAMES).keys(),
    ],
)
def test_natural_forms(words) -> None:
    found = class_words(words)
    assert found == NAMES and {type(name) for name in found} == {str}


@pytest.mark.parametrize(
    "words, message",
    [
        ({"cat": "house cat"}, "are a dict: give a list"),
        ({"cat", "dog"}, "are a set: give a list"),
        (b"cat, dog", "position 1 of 8 is of type int"),
        (["cat", None], "position 2 of 2 is of type NoneType"),
        (7, "of type int"),
        ("cat,,dog", "position 2 of 3 is empty"),
        (["cat", "\u200d"], "position 2 of 2 is empty"),
        ("cat\udc80", r"'cat\\udc80' holds a character that cannot be shown"),
        (["cat, dog"], "in a list holds a separator"),
        (["cat\ndog"], "in a list holds a separator"),
        ("cat " * 16, "has 63 characters.*put a comma"),
        ("names.txt", r"looks like a file.*'@names.txt'.*pathlib.Path\('names.txt'\)"),
        ("@names", "looks like a file"),
        ("cat, photo.TIF", "'photo.TIF' looks like a file, but no list of names"),
        ("model.PTH", "looks like a file, but no list"),
        ("cat, coco.NAMES", "'coco.NAMES' looks like a file"),
        ("- cat\n- dog", "starts with '-'"),
        ("/etc/passwd", "starts with '/'"),
        ("(cat, dog)", "looks like a piece of a list"),
        ("1. cat\n2. dog", "'1. cat' looks like a piece of a list"),
        ("names: [cat, dog]", "looks like a piece of a list"),
        ("“cat”, “dog”", "starts with '“'"),
        ("1\tcat\n2\tdog", "'1' is a number"),
        ("cat, 5!", "'5' is a number"),
        ("cat, photo.jpg.", "'photo.jpg' looks like a file"),
        ("0 cat\n1 dog\n2 hen", "start with running numbers, as '0 cat'"),
        ("1 cat\n2 dog\n3 hen", "start with running numbers, as '1 cat'"),
    ],
)
def test_what_can_only_be_a_mistake_is_refused(words, message) -> None:
    with pytest.raises(UserError, match=message):
        class_words(words)


def test_what_looks_like_a_number_or_an_alias() -> None:
    assert class_words("2 cats, 3 dogs, 24/7") == ["2 cats", "3 dogs", "24/7"]
    assert class_words("sofa｜couch, St. Bernard") == ["sofa|couch", "St. Bernard"]


@pytest.mark.parametrize("text", ["cat\nred bus\n\nsky\n", "\ufeffcat,red bus\r\nsky\r\n"])
def test_names_from_a_file(tmp_path: Path, monkeypatch, text: str) -> None:
    file = tmp_path / "names.txt"
    file.write_bytes(text.encode())
    monkeypatch.chdir(tmp_path)
    assert class_words(file) == NAMES
    assert option_words(f"@{file}") == option_words("names.txt") == NAMES
    monkeypatch.setenv("HOME", str(tmp_path))
    assert option_words("~/names.txt") == option_words("@~/names.txt") == NAMES
    assert class_words(Path("~/names.txt")) == NAMES
    for name in ("none.txt", "none.yaml", "none.JSON"):
        with pytest.raises(UserError, match=f"the names file {name} does not exist"):
            option_words(name)
    assert option_words(" cat, names") == ["cat", "names"]
    with pytest.raises(UserError, match="looks like a file"):
        class_words("names.txt")  # a service may pass a stranger's words on


def test_a_file_that_holds_no_names_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.txt")
    Path("folder.txt").mkdir()
    Path("wide.txt").write_bytes("cat".encode("utf-16"))
    Path("large.txt").write_bytes(b"cat\n" * 300_000)
    Path("list.txt").write_text("cat\n- dog\n")
    Path("cat").write_text("a photo")
    problems = {
        "pipe.txt": "is no file of at most",
        "folder.txt": "is no file of at most",
        "wide.txt": "wide.txt cannot be read .* not encoded in UTF-8",
        "large.txt": "is no file of at most 1,000,000 bytes",
        "list.txt": "names file list.txt: the class name '- dog' starts with '-'",
        "none.txt": "does not exist",
        "x" * 300: "does not exist",
    }
    for name, problem in problems.items():
        with pytest.raises(UserError, match=problem):
            option_words(f"@{name}")
    with pytest.raises(UserError, match="'cat' is the name of a file, too: give '@cat'"):
        option_words("cat")
    assert option_words("cat,") == ["cat"]
