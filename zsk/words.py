"""A user's own class names: read from text, lists and files, and checked.

A name that is a mistake would become a class, and a class always gets pixels: what looks like a
file, a list in another notation or a sentence is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from zsk.data.images import IMAGE_SUFFIXES
from zsk.errors import UserError
from zsk.files import text_lines, user_path

MAX_CHARACTERS = 60  # a longer "name" is a list with another separator, or a sentence
MAX_FILE_BYTES = 1_000_000
LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".names", ".md", ".json", ".yaml", ".yml", ".xml")
OTHER_SUFFIXES = (".docx", ".xlsx", ".npy", ".npz", ".pth", ".pt", ".pkl", ".ckpt", ".bin")
ALIAS_SEPARATOR = "|"  # between the words of one class
SEPARATORS = ",;\t，、；､،؛"
_SEPARATORS = re.compile(f"[{SEPARATORS}]")
_STOPS = ".!?。．…！？ "  # at the end of a sentence, which is no part of a name
_NOTATION = (
    "@#-–—*•\"'`“”„«»‘’「」[{<~./\\"  # first characters of file names, comments, quoted lists
)
_NUMBERED = re.compile(r"\d+\s*[.):]\s*[^\s\d]")  # "1. cat"
_BRACKETS = re.compile(r"[\[\]{}]|^[^(]*\)|\([^)]*$")  # of a list; "bow (weapon)" is a name
_JOINERS = str.maketrans("", "", "\u200c\u200d")  # invisible, but Persian and Hindi need them

Words = Iterable[str] | str | os.PathLike[str]


def split_aliases(words: str) -> list[str]:
    """The words of one class."""
    return words.replace("｜", ALIAS_SEPARATOR).split(ALIAS_SEPARATOR)


def class_words(words: Words) -> list[str]:
    """Clean class names in the order in which they were given.

    Several words for one class have ALIAS_SEPARATOR between them: "sofa|couch".

    Args:
        words: any ordered collection of names; a text with commas, semicolons or new lines between
            them, where a blank line and a separator at the end of a line are no name; or a
            `pathlib.Path` of a UTF-8 file with such a text. A text never names a file, so it may
            come from a stranger.

    Raises:
        UserError: a dict, a set (label ids are positions, and a set has no order) or bytes; an item
            that is no text, is empty, holds a separator or a character that cannot be shown, is
            longer than MAX_CHARACTERS or looks like a file or a list; a file that cannot be read.
    """
    if isinstance(words, os.PathLike):
        return _read(Path(words))
    listed = _split(words) if isinstance(words, str) else _items(words)
    names = [_class(word, f"position {n} of {len(listed)}") for n, word in enumerate(listed, 1)]
    for first in (0, 1):
        if len(names) > 2 and all(n.startswith(f"{k} ") for k, n in enumerate(names, first)):
            raise UserError(
                f"the class names start with running numbers, as {names[0]!r}: give plain words"
            )
    return names


def option_words(text: str) -> list[str]:
    """Class names of a command line: as `class_words`, or "@FILE", or the path of a .txt file.

    Raises:
        UserError: as `class_words`; or the text is the path of another file.
    """
    path = os.path.expanduser(text.strip())
    if path.startswith("@"):
        return _read(Path(path[1:]))
    if not os.path.isfile(path):
        if path.lower().endswith(LIST_SUFFIXES) and _split(path) == [path]:
            raise UserError(f"the names file {path} does not exist")
        return class_words(text)
    if not path.lower().endswith(".txt"):
        raise UserError(
            f"the class name {path!r} is the name of a file, too: give '@{path}' to read names "
            f"from the file, or '{path},' for a class of this name"
        )
    return _read(Path(path))


def _split(text: str) -> list[str]:
    words: list[str] = []
    for line in text.splitlines():
        parts = _SEPARATORS.split(line)
        words += parts if _shown(parts[-1]) else parts[:-1]
    return words


def _shown(word: str) -> str:
    """The word with single spaces, without byte order marks."""
    return " ".join(word.replace("\ufeff", "").split())


def clean(word: str) -> str:
    """A name without what is no part of it: spaces around it, stops behind it."""
    shown = _shown(word)
    return shown.rstrip(_STOPS) or shown


def _items(words: Any) -> list[Any]:
    kind = type(words).__name__
    if isinstance(words, (Mapping, set, frozenset)):
        raise UserError(f"class names are a {kind}: give a list, whose positions are label ids")
    try:
        return list(words)
    except TypeError as error:
        raise UserError(f"class names are of type {kind}: give a text or a list") from error


def _class(words: Any, place: str) -> str:
    if not isinstance(words, str):
        raise UserError(f"the class name at {place} is of type {type(words).__name__}: give text")
    return ALIAS_SEPARATOR.join(_checked(word, place) for word in split_aliases(words))


def _checked(word: str, place: str) -> str:
    name = clean(word)
    visible = name.translate(_JOINERS)
    quoted = repr(name if len(name) <= MAX_CHARACTERS else name[:MAX_CHARACTERS] + "…")
    if not visible:
        raise UserError(f"the class name at {place} is empty")
    if not visible.isprintable():
        raise UserError(f"the class name {quoted} holds a character that cannot be shown")
    if _SEPARATORS.search(word) or len(word.strip().splitlines()) > 1:
        raise UserError(
            f"the class name {quoted} in a list holds a separator: give each name as an item of "
            "its own, or one text with all names"
        )
    if len(name) > MAX_CHARACTERS:
        raise UserError(
            f"the class name {quoted} has {len(name)} characters, more than {MAX_CHARACTERS}: put "
            "a comma, a semicolon or a new line between names"
        )
    if name.lower().endswith(IMAGE_SUFFIXES + OTHER_SUFFIXES):
        raise UserError(
            f"the class name {quoted} looks like a file, but no list of names: give plain words"
        )
    if name.startswith("@") or name.lower().endswith(LIST_SUFFIXES):
        file = name.lstrip("@")
        raise UserError(
            f"the class name {quoted} looks like a file: to read names from it, give '@{file}' to "
            f"a command or pathlib.Path({file!r}) in Python"
        )
    advice = "give plain words with a comma, a semicolon or a new line between them"
    if name[0] in _NOTATION:
        raise UserError(f"the class name {quoted} starts with {name[0]!r}: {advice}")
    if _NUMBERED.match(name) or _BRACKETS.search(name):
        raise UserError(f"the class name {quoted} looks like a piece of a list: {advice}")
    if re.fullmatch(r"\d+([.:]\d*)?", name):
        raise UserError(f"the class name {quoted} is a number: {advice}")
    return name


def _read(file: Path) -> list[str]:
    file = user_path(file)
    if not os.path.exists(file):
        raise UserError(f"the names file {file} does not exist")
    if not os.path.isfile(file) or os.path.getsize(file) > MAX_FILE_BYTES:
        raise UserError(f"the names file {file} is no file of at most {MAX_FILE_BYTES:,} bytes")
    text = "\n".join(text_lines(file))
    try:
        return class_words(text)
    except UserError as error:
        raise UserError(f"the names file {file}: {error}") from error
