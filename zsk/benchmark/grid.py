"""A picture of the first test images: photo, ground truth, and what each system predicted.

Letters: H×W label map, K classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zsk.benchmark.plan import Trial
from zsk.benchmark.rows import Grid
from zsk.data.images import read_label
from zsk.data.labels import read_joint_label
from zsk.data.loader import build_test_loader
from zsk.evaluation.prediction_dump import PNG_FOLDER
from zsk.visualization import draw_overlay
from zsk.vocabulary import IGNORE_LABEL, Vocabulary

_PANEL_SIDE = 256  # pixels of a panel's longer side
_GAP, _TITLE_HEIGHT = 6, 22
_BACKGROUND, _INK = (255, 255, 255), (20, 20, 20)


def grid_trials(grid: Grid, trials: Sequence[Trial]) -> list[Trial]:
    """The trials whose predictions are shown: of each chosen system its first row and seed."""
    first: dict[str, Trial] = {}
    for trial in trials:
        if trial.row.table == grid.table and trial.evaluate.finished():
            if not grid.systems or trial.row.system in grid.systems:
                first.setdefault(trial.row.system, trial)
    # all on the images and classes of the first
    return [t for t in first.values() if t.dataset == next(iter(first.values())).dataset]


def draw_grid(trials: Sequence[Trial], images: int) -> Image.Image:
    """One row per image; columns are the photo, the ground truth, then one per trial.

    Args:
        trials: finished ones on one data set, at least one.
        images: how many, from the first on; fewer where the data set has fewer.
    """
    loader = build_test_loader(trials[0].cfg, trials[0].dataset)
    records = [batch[0] for batch in itertools.islice(loader, images)]
    vocabulary = trials[0].vocabulary
    rows = [_panels(record, trials, vocabulary) for record in records]
    titles = ["photo", "ground truth", *(trial.row.system for trial in trials)]
    width = max(panel.width for row in rows for panel in row) + _GAP
    heights = [max(panel.height for panel in row) + _GAP for row in rows]
    size = (width * len(titles) - _GAP, _TITLE_HEIGHT + sum(heights) - _GAP)
    picture = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=13)
    for column, title in enumerate(titles):
        draw.text((column * width + 2, 3), title, fill=_INK, font=font)
    top = _TITLE_HEIGHT
    for row, height in zip(rows, heights):
        for column, panel in enumerate(row):
            picture.paste(panel, (column * width, top))
        top += height
    return picture


def _panels(
    record: dict[str, Any], trials: Sequence[Trial], vocabulary: Vocabulary
) -> list[Image.Image]:
    """The photo as the model got it, and the coloured maps over it."""
    photo = Image.fromarray(record["image"].permute(1, 2, 0).numpy())
    scale = _PANEL_SIDE / max(photo.size)
    size = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
    photo = photo.resize(size, Image.Resampling.LANCZOS)
    maps = [read_joint_label(record)]
    for trial in trials:
        folder = trial.evaluate.folder / "inference" / trial.dataset / PNG_FOLDER
        maps.append(read_label(folder / f"{record['image_id']}.png"))
    # ignored pixels are negative: an overlay leaves those without a colour
    signed = (np.where(labels == IGNORE_LABEL, -1, labels.astype(int)) for labels in maps)
    return [photo, *(draw_overlay(photo, labels, vocabulary.names) for labels in signed)]
