"""Photo, ground truth and predictions of an image side by side, from files.

Letters: H×W label map, K classes, R predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zsk.data.images import read_image
from zsk.data.label_files import read_label
from zsk.data.labels import check_label, read_joint_label
from zsk.drawing.palette import fixed_colours
from zsk.visualization import draw_overlay
from zsk.vocabulary import Vocabulary

_PANEL_SIDE = 640  # pixels of a panel's longer side
_SMALLEST_SHARE = 0.5  # percent of a map; smaller regions are left out of the legend
_GAP, _BACKGROUND = 8, (255, 255, 255)


@dataclass(frozen=True)
class LegendEntry:
    """A class of one image.

    Attributes:
        label: the class's id.
        colour: "#rrggbb", as in the panels.
        shares: percent of the ground truth, then of each of the R predictions.
    """

    label: int
    colour: str
    shares: tuple[float, ...]


@dataclass(frozen=True)
class GridRow:
    """One image: its photo, its ground truth and then R predictions, all of one size (RGB)."""

    name: str
    panels: tuple[Image.Image, ...]
    legend: tuple[LegendEntry, ...]

    def strip(self) -> Image.Image:
        """All panels in one picture."""
        width, height = self.panels[0].size
        picture = Image.new("RGB", ((width + _GAP) * len(self.panels) - _GAP, height), _BACKGROUND)
        for position, panel in enumerate(self.panels):
            picture.paste(panel, (position * (width + _GAP), 0))
        return picture


def make_row(
    record: Mapping[str, Any], prediction_roots: Sequence[Path], vocabulary: Vocabulary
) -> GridRow:
    """Read one image's files and draw them.

    Args:
        record: see `zsk.data.listing.match_files`.
        prediction_roots: R folders of <image_id>.png of joint ids; `ignore_label(K)` is none.
        vocabulary: the joint one, K classes.

    Raises:
        UserError: naming the file, when one is missing, cannot be read, is not of the photo's size
            or holds an id outside the vocabulary.
    """
    name, photo = record["image_id"], read_image(record["file_name"])
    files = [record["sem_seg_file_name"], *(root / f"{name}.png" for root in prediction_roots)]
    maps = [read_joint_label(record), *map(read_label, files[1:])]
    for file, labels in zip(files, maps):
        check_label(labels, {**record, "sem_seg_file_name": file}, photo.shape[:2], len(vocabulary))
    height, width = photo.shape[:2]
    scale = _PANEL_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS)
    colours = fixed_colours(len(vocabulary))
    overlays = (draw_overlay(small, labels, vocabulary.names, colours) for labels in maps)
    return GridRow(name, (small, *overlays), tuple(_legend(maps, len(vocabulary))))


def _legend(maps: Sequence[np.ndarray], num_classes: int) -> list[LegendEntry]:
    """The classes that show in any map, those with most ground truth first."""
    counts = [np.bincount(labels.ravel(), minlength=num_classes)[:num_classes] for labels in maps]
    shares = 100.0 * np.array(counts) / maps[0].size  # (1+R,K)
    shown = np.flatnonzero((shares >= _SMALLEST_SHARE).any(axis=0))
    colours = fixed_colours(num_classes)
    return [
        LegendEntry(
            int(k),
            "#" + colours[k].tobytes().hex(),
            tuple(shares[:, k].tolist()),
        )
        for k in sorted(shown, key=lambda k: tuple(-shares[:, k]))
    ]
