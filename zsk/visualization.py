"""Pictures of a segmentation, drawn without a display: overlay, legend, palette PNG.

Letters: H×W label map, K names.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from zsk.palette import palette
from zsk.vocabulary import IGNORE_LABEL, label_dtype

_MIN_PANEL, _MAX_PANEL = 480, 1200  # pixels of the longer side: small photos are enlarged
_MIN_WIDTH = 480  # of the whole picture, so that a legend has room under a narrow photo
_COLOUR_WEIGHT = 0.6  # of the class colour in the overlay, the rest is the photo in grey
_NAMED_SHARE = 0.004  # smaller regions (share of the image) are named in the legend only
_SEARCH_SIDE = 256  # places for names are searched on a map of this size, which takes less time
_BACKGROUND, _INK = (255, 255, 255), (20, 20, 20)


def pixel_shares(labels: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Name → fraction of pixels (0 to 1), largest first, equal ones in the order of the names.

    Labels from K on stand for no name.
    """
    counts = np.bincount(labels.ravel(), minlength=len(names))[: len(names)]
    order = np.argsort(-counts, kind="stable")
    return {names[k]: float(counts[k] / labels.size) for k in order}


def label_image(labels: np.ndarray, num_names: int) -> Image.Image:
    """An image of label ids: a palette image in the overlay's colours, 16-bit grey over 255 names.

    Args:
        labels: (H,W) integers in 0..K-1, or `ignore_label(K)`.
        num_names: K.
    """
    image = Image.fromarray(labels.astype(label_dtype(num_names)))
    if num_names <= IGNORE_LABEL:
        image.putpalette(palette().tobytes())
    return image


def draw_segmentation(image: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> Image.Image:
    """The photo on the left, its overlay with names on the right, a legend below both.

    Args:
        image: (H,W,3) uint8 RGB.
        labels: (H,W) integers in 0..K-1.
        names: K names.

    Returns:
        an RGB picture; each of its two panels has a longer side of 480 to 1200 pixels.
    """
    height, width = labels.shape
    scale = min(max(1.0, _MIN_PANEL / max(height, width)), _MAX_PANEL / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    photo = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
    panel = draw_overlay(photo, labels, names)
    gap = max(6, max(size) // 100)
    total = max(_MIN_WIDTH, 2 * size[0] + 3 * gap)
    font = ImageFont.load_default(size=min(26, max(14, total // 70)))
    legend = _draw_legend(pixel_shares(labels, names), names, total - 2 * gap, font)

    picture = Image.new("RGB", (total, size[1] + legend.height + 3 * gap), _BACKGROUND)
    picture.paste(photo, (gap, gap))
    picture.paste(panel, (2 * gap + size[0], gap))
    picture.paste(legend, (gap, size[1] + 2 * gap))
    return picture


def draw_overlay(photo: Image.Image, labels: np.ndarray, names: Sequence[str]) -> Image.Image:
    """The photo in grey under the classes' colours, with names on the regions.

    Args:
        photo: RGB, of any size; the result has the same.
        labels: (H,W) integers below K, for the whole photo; a negative one stands for no class.
        names: K names.
    """
    small = _sample(labels, photo.size)
    panel = _tint(photo, small)
    _draw_names(panel, small, names, max(12, min(28, photo.width // 32)))
    return panel


def _sample(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The label map at (width, height) `size`, by nearest neighbour."""
    width, height = size
    rows = (np.arange(height) + 0.5) * labels.shape[0] // height
    columns = (np.arange(width) + 0.5) * labels.shape[1] // width
    return labels[rows.astype(int)[:, None], columns.astype(int)]


def _tint(photo: Image.Image, labels: np.ndarray) -> Image.Image:
    """The photo in grey under the colours of labels ≥ 0, with a white line between regions."""
    grey = np.asarray(photo.convert("L"), dtype=np.float32)[:, :, None]
    # ids past the table (more than 255 names) share its colours
    colours = palette()[labels % IGNORE_LABEL]
    weight = np.where(labels < 0, 0.0, _COLOUR_WEIGHT)[:, :, None]
    mixed = weight * colours + (1 - weight) * grey
    border = np.zeros(labels.shape, dtype=bool)
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    border[1:] |= labels[1:] != labels[:-1]
    mixed[border] = _BACKGROUND
    return Image.fromarray(mixed.round().astype(np.uint8))


def _draw_names(
    panel: Image.Image, labels: np.ndarray, names: Sequence[str], font_size: int
) -> None:
    """Write each name at its place, or a line above or below; large classes come first."""
    draw = ImageDraw.Draw(panel)
    font = ImageFont.load_default(size=font_size)
    halo = max(2, font_size // 8)
    taken: list[tuple[float, float, float, float]] = []
    for label, (x, y) in _name_places(labels):
        left, top, right, bottom = draw.textbbox((0, 0), names[label], font=font, stroke_width=halo)
        width, height = right - left, bottom - top
        if width > panel.width or height > panel.height:
            continue
        for shift in (0, 1, -1, 2, -2):
            box_left = min(max(0, x - width / 2), panel.width - width)
            box_top = min(max(0, y - height / 2 + shift * height), panel.height - height)
            box = (box_left, box_top, box_left + width, box_top + height)
            if not any(_overlap(box, other) for other in taken):
                taken.append(box)
                draw.text(
                    (box_left - left, box_top - top), names[label], _BACKGROUND, font,
                    stroke_width=halo, stroke_fill=_INK,
                )  # fmt: skip
                break


def _name_places(labels: np.ndarray) -> list[tuple[int, tuple[float, float]]]:
    """(id ≥ 0, (x, y)) per class, large ones first: the innermost pixel of its largest region."""
    height, width = labels.shape
    shrink = min(1.0, _SEARCH_SIDE / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    small = _sample(labels, size)
    ids, counts = np.unique(small[small >= 0], return_counts=True)
    places = []
    for label in ids[np.argsort(-counts, kind="stable")]:
        regions, _ = ndimage.label(small == label)
        areas = np.bincount(regions.ravel())[1:]
        if areas.max() < _NAMED_SHARE * small.size:
            continue
        # padded, so that the picture's edge is a border like any other
        region = np.pad(regions == areas.argmax() + 1, 1)
        depth = ndimage.distance_transform_edt(region)
        # a band has a whole ridge of innermost pixels: the one nearest to the region's middle
        ridge = np.argwhere(depth >= 0.95 * depth.max())
        middle = np.argwhere(region).mean(axis=0)
        row, column = ridge[np.linalg.norm(ridge - middle, axis=1).argmin()]
        place = ((column - 0.5) * width / size[0], (row - 0.5) * height / size[1])
        places.append((int(label), place))
    return places


def _draw_legend(
    shares: dict[str, float],
    names: Sequence[str],
    width: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> Image.Image:
    """Colour, name and share of each class with pixels, in rows of at most `width` pixels."""
    ids = {name: k for k, name in enumerate(names)}
    line = round(1.5 * font.getbbox("Ag")[3])
    swatch = round(0.7 * line)
    entries, x, y = [], 0, 0
    for name, share in shares.items():
        if share == 0:
            break
        text = f"{name}  {_percent(share)}"
        needed = swatch + swatch // 2 + round(font.getlength(text)) + line
        if x and x + needed - line > width:
            x, y = 0, y + line
        entries.append((x, y, text, palette()[ids[name] % IGNORE_LABEL]))
        x += needed
    legend = Image.new("RGB", (width, y + line), _BACKGROUND)
    draw = ImageDraw.Draw(legend)
    for x, y, text, colour in entries:
        top = y + (line - swatch) // 2
        draw.rectangle((x, top, x + swatch, top + swatch), fill=tuple(colour.tolist()))
        draw.text((x + 1.5 * swatch, y + line / 2), text, font=font, fill=_INK, anchor="lm")
    return legend


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 else "< 0.1 %"


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
