"""A font for each text: the first one here that has a glyph for every character of it."""

from __future__ import annotations

import logging
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
logger = logging.getLogger(__name__)

# in the names of files that are no plain font; "lastresort" has a box for every character
_OTHER_STYLES = "bold italic oblique light thin black medium mono condensed lastresort".split()
_FOLDERS = {
    "win32": ("C:/Windows/Fonts", "~/AppData/Local/Microsoft/Windows/Fonts"),
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
}
_LINUX_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
_CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "FULLWIDTH", "IDEOGRAPHIC")
_noted: set[str] = set()  # characters that a note has named


def one_line(name: str) -> str:
    """The name as it can be drawn: on one line, with "?" for what is no character."""
    return " ".join(name.encode("utf-8", "replace").decode("utf-8").split())


def font_for(text: str, size: int) -> Font:
    """A font with all glyphs of a text or else with most; letters are shaped where Pillow can.

    Args:
        text: one line. One of ASCII characters costs no search.
        size: pixels.
    """
    file = _file_for(text)
    return ImageFont.load_default(size=size) if file is None else _opened(file, size)


def note_missing(names: Iterable[str]) -> None:
    """Log one warning about the characters that will be drawn as boxes, each character once."""
    missing: dict[str, str] = {}  # character → the first name that has it
    for name in map(one_line, names):
        if not name.isascii():
            file = _file_for(name)
            for character in sorted(_needed(name) - (_characters(file) if file else frozenset())):
                if character not in _noted:
                    missing.setdefault(character, name)
    if not missing:
        return
    _noted.update(missing)
    cjk = {unicodedata.name(character, "").startswith(_CJK) for character in missing}
    packages = [f"fonts-noto-{'cjk' if is_cjk else 'core'}" for is_cjk in sorted(cjk)]
    shown = "".join(list(missing)[:12]) + ("…" if len(missing) > 12 else "")
    logger.warning(
        'note: no single font here has all characters of "%s", so %s will be boxes in pictures: '
        "Debian's %s, for example, would help",
        next(iter(missing.values())), shown, " and ".join(packages),
    )  # fmt: skip


def _needed(text: str) -> set[str]:
    """Its characters less those without a glyph of their own: spaces, joiners, variants."""
    return {
        c for c in text if not (c.isspace() or unicodedata.category(c) == "Cf" or c == "\ufe0f")
    }


@lru_cache(maxsize=4096)
def _file_for(text: str) -> str | None:
    """The first font file that has all characters, or else the most; None without any file."""
    needed = _needed(text)
    best, fewest = None, len(needed) + 1
    for file in _files():
        missing = 0 if text.isascii() else len(needed - _characters(file))
        if missing < fewest:
            best, fewest = file, missing
        if not missing:
            break
    return best


def _files() -> Iterator[str]:
    """DejaVu Sans of matplotlib, then the system's fonts."""
    spec = find_spec("matplotlib")  # found, not imported: that would take a second
    if spec is not None and spec.origin is not None:
        file = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if file.is_file():
            yield str(file)
    yield from _system_files()


@lru_cache(maxsize=1)
def _system_files() -> tuple[str, ...]:
    """Upright fonts of normal weight; without serifs first, and Noto's before others."""
    found = []
    for folder in _FOLDERS.get(sys.platform, _LINUX_FOLDERS):
        for root, _, files in os.walk(os.path.expanduser(folder)):
            for file in files:
                name = file.lower()
                plain = not any(style in name for style in _OTHER_STYLES)
                if plain and name.endswith((".ttf", ".otf", ".ttc")):
                    rank = ("serif" in name, "noto" not in name, name)
                    found.append((rank, os.path.join(root, file)))
    return tuple(file for _, file in sorted(found))


@lru_cache(maxsize=None)
def _characters(file: str) -> frozenset[str]:
    """What a font file has glyphs for; nothing where it cannot be drawn at any size."""
    from fontTools.ttLib import TTFont, TTLibError  # of matplotlib; ASCII needs none

    try:
        _opened(file, 20)  # fails for fonts of bitmaps, as some of emoji are
        with TTFont(file, lazy=True, fontNumber=0) as font:
            return frozenset(map(chr, font.getBestCmap() or ()))
    except (OSError, TTLibError, KeyError, AssertionError):
        return frozenset()


@lru_cache(maxsize=64)
def _opened(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)
