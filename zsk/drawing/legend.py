"""The legend below a segmentation: colours, names and shares in rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from zsk.drawing.fonts import font_for, one_line

_PAPER, _INK, _FAINT = (255, 255, 255), (20, 20, 20), (150, 150, 150)
_STRIPES = 4  # in the swatch of a hatched entry


@dataclass(frozen=True)
class Entry:
    """One entry: a name, its share of the pixels and its colour.

    Attributes:
        share: 0 to 1; an entry with 0 is drawn in grey with an empty swatch. None is not written.
        colour: RGB, 0 to 255.
        hatched: whether the swatch shows stripes instead of one colour.
    """

    name: str
    share: float | None
    colour: tuple[int, ...]
    hatched: bool = False


def draw_legend(entries: Sequence[Entry], width: int, font_size: int) -> Image.Image:
    """Entries from left to right in rows of at most `width` pixels; one that is longer is cut."""
    line = round(1.5 * font_for("Ag", font_size).getbbox("Ag")[3])
    swatch = round(0.7 * line)
    placed, x, y = [], 0, 0
    for entry in entries:
        name = one_line(entry.name)
        share = "" if entry.share is None else f"  {percent(entry.share)}"
        name_end = 1.5 * swatch + font_for(name, font_size).getlength(name)
        end = round(name_end + font_for(share, font_size).getlength(share))
        if x and x + end > width:
            x, y = 0, y + line
        placed.append((entry, name, share, (x, y), name_end))
        x += end + line
    legend = Image.new("RGB", (width, y + line), _PAPER)
    draw = ImageDraw.Draw(legend)
    for entry, name, share, (x, y), name_end in placed:
        top = y + (line - swatch) // 2
        _draw_swatch(draw, entry, (x, top, x + swatch, top + swatch))
        ink = _FAINT if entry.share == 0 else _INK
        # two texts, since a font of another script may lack digits; one baseline for both
        for text, start in ((name, 1.5 * swatch), (share, name_end)):
            place = (x + start, y + 0.7 * line)
            draw.text(place, text, ink, font_for(text, font_size), anchor="ls")
    return legend


def percent(share: float) -> str:
    """A share of 0 to 1 as the legend writes it; what is there never becomes 0 %."""
    if share == 0:
        return "0 %"
    return f"{100 * share:.1f} %" if share >= 0.0005 else "< 0.1 %"


def _draw_swatch(draw: ImageDraw.ImageDraw, entry: Entry, box: tuple[int, int, int, int]) -> None:
    if entry.share == 0:
        draw.rectangle(box, outline=_FAINT)
        return
    draw.rectangle(box, fill=_PAPER if entry.hatched else entry.colour)
    if entry.hatched:
        left, top, right, bottom = box
        step = max(2, (right - left) // _STRIPES)
        for offset in range(0, right - left + 1, step):
            draw.line((left, top + offset, left + offset, top), fill=entry.colour, width=2)
            draw.line((right - offset, bottom, right, bottom - offset), fill=entry.colour, width=2)
        draw.rectangle(box, outline=entry.colour)
