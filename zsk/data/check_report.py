"""Reports the check of a data set: a table of classes, notes, and a contact sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from tabulate import tabulate

from zsk.data.check import spread
from zsk.data.full_check import DatasetCheck
from zsk.data.images import read_image
from zsk.data.labels import read_joint_label
from zsk.drawing.fonts import font_for
from zsk.visualization import draw_overlay

_COLUMNS = 2
_VALUES_LISTED = 5
_PANEL = (480, 360)  # largest width and height of a photo, in pixels
_GAP = 16  # pixels between the photos of a sheet
_CAPTION_SIZE = 16
_BACKGROUND, _INK = (255, 255, 255), (20, 20, 20)


def class_table(check: DatasetCheck) -> str:
    """One line per class with pixels: seen or unseen, images, pixels and their share."""
    total = max(1, int(check.class_pixels.sum()) + check.ignored_pixels)
    rows = [
        [name, group, f"{images:,}", f"{pixels:,}", f"{100 * pixels / total:.2f} %"]
        for name, group, images, pixels in zip(
            check.class_names, check.groups, check.class_images, check.class_pixels
        )
        if pixels
    ]
    share = f"{100 * check.ignored_pixels / total:.2f} %"
    rows.append(["(unlabelled)", "", "", f"{check.ignored_pixels:,}", share])
    return tabulate(
        rows,
        headers=["class", "group", "images", "pixels", "share"],
        tablefmt="pipe",
        colalign=("left", "left", "right", "right", "right"),
        disable_numparse=True,  # a class may be called "007"
    )


def notes(check: DatasetCheck) -> list[str]:
    """Observations that are no problems, one sentence each."""
    group_of = dict(zip(check.class_names, check.groups))
    told = [f"WARNING: {note}" for note in check.notes]
    if check.all_ignore:
        told.append(
            f"{check.all_ignore} of {check.images} images have no labelled pixel: training draws "
            "nothing from them, and evaluation leaves them out"
        )
    absent = [n for n, pixels in zip(check.class_names, check.class_pixels) if not pixels]
    if absent:
        told.append(f"{len(absent)} classes have no pixel: {', '.join(absent)}")
    unlearned = [name for name in absent if group_of[name] == "seen"]
    if check.training and unlearned:
        told.append(
            f"WARNING: {len(unlearned)} seen classes never occur, so training learns nothing of "
            f"them, and evaluation counts them as trained: {', '.join(unlearned)}"
        )
    if len(check.class_names) == 1:
        told.append(
            "WARNING: there is only one class, so every pixel is predicted as it: give the rest of "
            "the photos a class, such as background"
        )
    unseen = int(check.class_pixels[np.array(check.groups) == "unseen"].sum())
    if check.training and unseen:
        told.append(f"{unseen:,} pixels are of unseen classes: training reads them as unlabelled")
    classless = check.classless_values
    if classless.any():
        largest = [int(v) for v in np.argsort(-classless, kind="stable")[:_VALUES_LISTED]]
        told.append(
            f"{np.count_nonzero(classless)} values of the label files have no class in "
            f"label_values and are ignored: {classless.sum():,} pixels, most of them "
            + ", ".join(f"{v} ({classless[v]:,})" for v in largest if classless[v])
        )
    return told


def contact_sheet(check: DatasetCheck, count: int) -> Image.Image | None:
    """Up to `count` photos beside their coloured labels with names, spread over the intact pairs.

    An RGB picture; None when no pair is intact.
    """
    names = [
        f"{name} (unseen)" if group == "unseen" else name
        for name, group in zip(check.class_names, check.groups)
    ]
    tiles = [_tile(record, names) for record in spread(check.intact, count)]
    if not tiles:
        return None
    columns = min(_COLUMNS, len(tiles))
    width, height = tiles[0].size
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), _BACKGROUND)
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (_GAP + i % columns * width, _GAP + i // columns * height))
    return sheet


def _tile(record: Mapping[str, Any], names: Sequence[str]) -> Image.Image:
    """A photo beside its labels, with a caption below; all tiles have one size."""
    image, label = read_image(record["file_name"]), read_joint_label(record)
    scale = min(_PANEL[0] / image.shape[1], _PANEL[1] / image.shape[0])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    photo = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
    shares = np.bincount(label.ravel(), minlength=len(names)) / label.size
    shown = [k for k in np.argsort(-shares[: len(names)], kind="stable") if shares[k] > 0]
    parts = [f"{names[k]} {max(1, round(100 * shares[k]))} %" for k in shown]
    caption = f"{record['image_id']}:  {',  '.join(parts) or 'nothing labelled'}"

    line = _CAPTION_SIZE + 8
    width = 2 * _PANEL[0] + 2 * _GAP
    tile = Image.new("RGB", (width, _PANEL[1] + line + _GAP), _BACKGROUND)
    tile.paste(photo, (0, 0))
    tile.paste(draw_overlay(photo, label, names), (size[0] + _GAP // 2, 0))
    font = font_for(caption, _CAPTION_SIZE)
    draw = ImageDraw.Draw(tile)
    while font.getlength(caption) > width - _GAP:  # the largest shares come first
        caption = caption.rstrip("…")[:-1] + "…"
    draw.text((0, size[1] + 3), caption, font=font, fill=_INK)
    return tile
