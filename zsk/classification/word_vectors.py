"""Files of word vectors: word2vec, fastText and GloVe as text, or tables of named rows.

Letters: K names, D width.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zsk.errors import UserError
from zsk.files import text_lines
from zsk.progress import progress
from zsk.safe_load import read_file

NAMES = ".names.txt"  # ends the file of names beside an array
TABLES = (".npz", ".pkl", ".pickle", ".pth", ".pt", ".safetensors")  # other files are text


class WordVectors:
    """One file; of a text file, which may have millions of words, the needed rows only are read.

    Args:
        path: a text file with a word and its D numbers in each line, after a line with their counts
            or without one; an .npz file with "names" (N,) and "vectors" (N,D); or a pickle, torch's
            or safetensors' file with a vector for each name, or with an array (N,D) beside a file
            of N names, one in each line: word2vec.pkl and word2vec.names.txt. No file is executed.

    Raises UserError for a file that is missing, damaged or something else.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UserError(f"word vectors {path} are no file: check MODEL.CLIP.NAME")
        self.path = path
        self._table = _read_table(path) if path.suffix.lower() in TABLES else None
        names = path.with_suffix(NAMES)
        self.files = [path, *([names] if self._table and names.is_file() else [])]
        self._known: dict[str, np.ndarray | None] = {}  # None: not in the file
        try:
            self.first = next(self._entries(None))[1]
        except StopIteration:
            raise _damaged(path, "it has no vectors") from None
        self.width = len(self.first)

    def rows(self, names: Iterable[str]) -> np.ndarray:
        """K names → (K,D) float32: a name's own vector, or the mean of those of its words.

        Letter case decides only where a file has both. Raises UserError for a word without a
        vector.
        """
        names = list(names)
        wanted = {word.casefold() for name in names for words in _ways(name) for word in words}
        if not wanted <= self._known.keys():
            found = list(self._entries(wanted))[::-1]  # of several for a word the first counts
            self._known |= dict.fromkeys(wanted)
            self._known |= {word.casefold(): vector for word, vector in found} | dict(found)
        return np.stack([self._row(name) for name in names])

    def _row(self, name: str) -> np.ndarray:
        for words in _ways(name):
            found = [vector for vector in map(self._find, words) if vector is not None]
            if found and len(found) == len(words):
                return np.asarray(np.mean(found, axis=0))
        missing = [word for word in words if self._find(word) is None]
        raise UserError(
            f"the word vectors {self.path} have none for {' and '.join(missing) or 'the name'} "
            f"(of the class {name!r}): give the class another prompt name, or other vectors"
        )

    def _find(self, word: str) -> np.ndarray | None:
        vector = self._known.get(word)
        return self._known.get(word.casefold()) if vector is None else vector

    def _entries(self, wanted: set[str] | None) -> Iterator[tuple[str, np.ndarray]]:
        """Words, with their case, and vectors; `wanted`: of these, folded, None: of all."""
        for word, vector in self._lines(wanted) if self._table is None else self._table.items():
            word = unicodedata.normalize("NFC", word)
            if wanted is None or word.casefold() in wanted:
                yield word, vector

    def _lines(self, wanted: set[str] | None) -> Iterator[tuple[str, np.ndarray]]:
        """The first word, whose numbers are counted, and at least those that are wanted."""
        count, number, width = None, 0, None
        with open(self.path, "rb") as file:
            for number, line in enumerate(progress(file, f"words of {self.path.name}"), 1):
                parts = line.split()
                if number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
                    count, width = map(int, parts)
                    continue
                first = re.split(rb"[ \t]", line, maxsplit=1)[0]
                numbers = parts[1:]
                # GloVe has words with spaces in them; a number too many is a damage
                if width is not None and not all(map(_is_number, numbers[:-width])):
                    first, numbers = b" ".join(parts[:-width]), parts[-width:]
                word = unicodedata.normalize("NFC", first.decode("utf-8", "replace"))
                if width is None or wanted is None or word.casefold() in wanted:
                    vector = self._numbers(number, numbers, width)
                    width = len(vector)
                    yield word, vector
        if count is not None and count != number - 1:
            raise _damaged(self.path, f"it announces {count} words and has {number - 1}")

    def _numbers(self, number: int, parts: list[bytes], width: int | None) -> np.ndarray:
        try:
            vector = np.array(parts, dtype=np.float32)
        except ValueError:
            reason = "is no word and numbers (word2vec's binary files have to be saved as text)"
        else:
            if len(vector) != (width or len(vector)) or not len(vector):
                reason = f"has {len(vector)} numbers, others have {width}"
            elif not np.isfinite(vector).all() or not vector.any():
                reason = "has a vector that is 0 or not finite"
            else:
                return vector
        raise _damaged(self.path, f"line {number} {reason}")


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _ways(name: str) -> list[list[str]]:
    """The words that stand for a name: itself, in one spelling or another, or all its parts."""
    name = unicodedata.normalize("NFC", name)
    spellings = (name, name.replace(" ", "_"), name.replace(" ", "-"))
    # letters, digits and the marks on them, which are vowels in some scripts
    letters = (c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in name)
    parts = dict.fromkeys("".join(letters).split())
    return [*([spelling] for spelling in spellings), list(parts)]


def _read_table(path: Path) -> dict[str, np.ndarray]:
    npz = path.suffix.lower() == ".npz"
    content: Any = _read_npz(path) if npz else read_file(path, "word vectors")
    if isinstance(content, Mapping) and {"names", "vectors"} == content.keys():
        names, rows = content["names"], content["vectors"]
    elif isinstance(content, Mapping):
        names, rows = content.keys(), list(content.values())
    else:
        names, rows = _names_beside(path), content
    try:
        vectors = np.array([np.asarray(row) for row in rows], dtype=np.float32)
    except (TypeError, ValueError):
        raise _damaged(path, "its vectors are no numbers, or of different lengths") from None
    names = [str(name) for name in names]
    if vectors.ndim != 2 or len(names) != len(vectors) or len(set(names)) != len(names):
        raise _damaged(
            path,
            f"{len(names)} names ({len(set(names))} different ones) stand for vectors of shape "
            f"{vectors.shape}, but it takes (names, width)",
        )
    unusable = ~(np.isfinite(vectors).all(axis=1) & vectors.any(axis=1))
    if unusable.any():
        name = names[int(unusable.argmax())]
        raise _damaged(path, f"the vector of {name!r} is 0 or not finite")
    return dict(zip(names, vectors))


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except Exception as error:  # zip and numpy have their own kinds
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def _names_beside(path: Path) -> list[str]:
    file = path.with_suffix(NAMES)
    if not file.is_file():
        raise UserError(
            f"word vectors {path} are an array without names: write the name of each row, one in "
            f"each line, into {file}"
        )
    return text_lines(file)


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"word vectors {path} are damaged or of another kind: {reason}")
