"""A font for each text: the first one here that has a glyph for every character of it."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
logger = logging.getLogger(__name__)

# in the names of files that are no plain font; "lastresort" has a box for every character
_OTHER_STYLES = "bold italic oblique light thin black medium mono condensed lastresort".split()
_warned_of: set[str] = set()  # characters


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


def _needed(text: str) -> set[str]:
    """Its characters less those without a glyph of their own: spaces, joiners, variants."""
    return {
        c for c in text if not (c.isspace() or unicodedata.category(c) == "Cf" or c == "\ufe0f")
    }


@lru_cache(maxsize=4096)
def _file_for(text: str) -> str | None:
    """The first font file that has all characters, or else the most; None without any file.

    Characters for which a text has no font are warned of, once.
    """
    needed = _needed(text)
    best, fewest = None, len(needed) + 1
    for file in _files():
        missing = 0 if text.isascii() else len(needed - _characters(file))
        if missing < fewest:
            best, fewest = file, missing
        if not missing:
            return best
    lacking = needed - (_characters(best) if best else frozenset())
    if not text.isascii() and not lacking <= _warned_of:
        _warned_of.update(lacking)
        logger.warning(
            'note: no font here has all characters of "%s", so some will be boxes in pictures: '
            "Debian's fonts-noto-core and fonts-noto-cjk, for example, would help",
            text,
        )
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
    from matplotlib.font_manager import findSystemFonts

    found = []
    for file in findSystemFonts():
        name = Path(file).name.lower()
        if not any(style in name for style in _OTHER_STYLES):
            found.append((("serif" in name, "noto" not in name, name), file))
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
