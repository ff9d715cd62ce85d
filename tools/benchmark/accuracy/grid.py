"""A picture of the first test images: photo, ground truth, and each system's prediction."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.accuracy.plan import Trial
from benchmark.accuracy.rows import Grid
from detectron2.data import DatasetCatalog
from PIL import Image, ImageDraw, ImageFont
from report_page.photo_grid import draw_panels

from zsk.data.images import read_image
from zsk.data.label_files import read_label
from zsk.data.labels import read_joint_label
from zsk.evaluation.prediction_dump import PNG_FOLDER

_PANEL_SIDE = 256  # pixels of a panel's longer side
_GAP, _TITLE_HEIGHT = 6, 22
_BACKGROUND, _INK = (255, 255, 255), (20, 20, 20)


def grid_trials(grid: Grid, trials: Sequence[Trial]) -> list[Trial]:
    """The trials whose predictions are shown: of each system its first row and seed."""
    first: dict[str, Trial] = {}
    for trial in trials:
        if trial.row.table == grid.table and trial.evaluate.finished():
            first.setdefault(trial.row.system, trial)
    # all on the images and classes of the first
    return [t for t in first.values() if t.dataset == next(iter(first.values())).dataset]


def draw_grid(trials: Sequence[Trial], images: int) -> Image.Image:
    """One row per image; columns are the photo, the ground truth, then one per trial.

    Args:
        trials: finished ones on one data set, at least one.
        images: how many, from the first on; fewer where the data set has fewer.
    """
    rows = []
    for record in DatasetCatalog.get(trials[0].dataset)[:images]:
        file = f"{record['image_id']}.png"
        predictions = [read_label(trial.inference / PNG_FOLDER / file) for trial in trials]
        maps = [read_joint_label(record), *predictions]
        photo = read_image(record["file_name"])
        rows.append(draw_panels(photo, maps, trials[0].vocabulary, _PANEL_SIDE))
    titles = ["photo", "ground truth", *(trial.row.system for trial in trials)]
    width = max(row[0].width for row in rows) + _GAP
    heights = [row[0].height + _GAP for row in rows]
    size = (width * len(titles) - _GAP, _TITLE_HEIGHT + sum(heights) - _GAP)
    picture = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=13)
    for column, title in enumerate(titles):
        draw.text((column * width + 2, 3), title, fill=_INK, font=font)
        for number, row in enumerate(rows):
            top = _TITLE_HEIGHT + sum(heights[:number])
            picture.paste(row[column], (column * width, top))
    return picture
