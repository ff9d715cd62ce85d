"""The per-class chart: one bar per class with ground truth, best first, unseen classes marked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from zsk.files import replacing
from zsk.vocabulary import Vocabulary

# two colours of Okabe and Ito's palette, which stay apart in every common kind of colour blindness
SEEN_COLOUR, UNSEEN_COLOUR = "#0072B2", "#D55E00"

_BARS_PER_COLUMN = 60
_MOST_BARS = 300  # a chart of thousands takes hours and cannot be read
_BAR_INCHES, _COLUMN_INCHES, _FRAME_INCHES = 0.2, 5.2, 1.3


def draw_per_class_iou(
    iou: Mapping[str, float],
    vocabulary: Vocabulary,
    path: Path,
    title: str,
    groups: tuple[str, str],
) -> None:
    """Draw horizontal bars, sorted by IoU, as a PNG; long vocabularies take several columns.

    Of very long ones the best and the worst classes are drawn, and the heading says so.

    Args:
        iou: class name → IoU in percent; at least one class. Others are left out.
        vocabulary: says which class is seen.
        groups: names of the seen and the other classes in the legend.
    """
    seen = dict(zip(vocabulary.names, vocabulary.seen))
    colours = {name: SEEN_COLOUR if seen[name] else UNSEEN_COLOUR for name in iou}
    ranked = sorted(iou, key=lambda name: (-iou[name], name))
    heading = f"IoU per class on {plain(title)}"
    if len(ranked) > _MOST_BARS:
        half = _MOST_BARS // 2
        heading += f": the {half} best and the {half} worst of {len(ranked):,}"
        ranked = ranked[:half] + ranked[-half:]
    columns = math.ceil(len(ranked) / _BARS_PER_COLUMN)
    rows = math.ceil(len(ranked) / columns)
    size = (_COLUMN_INCHES * columns + 0.8, _BAR_INCHES * rows + _FRAME_INCHES)
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    for column, axis in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        names = ranked[column * rows : (column + 1) * rows]
        _draw_column(axis, {name: iou[name] for name in names}, colours)
        axis.set_ylim(rows - 0.4, -0.6)  # best on top; the same bar height in a shorter last column
    figure.suptitle(heading, fontsize=11)
    handles = []
    for group, colour in zip(groups, (SEEN_COLOUR, UNSEEN_COLOUR)):
        values = [value for name, value in iou.items() if colours[name] == colour]
        if values:
            label = f"{group.replace('-', ' ')}: mean {np.mean(values):.1f} over {len(values)}"
            handles.append(Patch(color=colour, label=label))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    with replacing(path) as unfinished:
        figure.savefig(unfinished)


def _draw_column(axis: Axes, iou: Mapping[str, float], colours: Mapping[str, str]) -> None:
    axis.barh(range(len(iou)), list(iou.values()), color=[colours[n] for n in iou], height=0.72)
    for position, value in enumerate(iou.values()):
        axis.text(value + 1, position, f"{value:.1f}", va="center", fontsize=7)
    axis.set_yticks(range(len(iou)), [plain(name) for name in iou], fontsize=8)
    for label, name in zip(axis.get_yticklabels(), iou):
        label.set_color("black" if colours[name] == SEEN_COLOUR else UNSEEN_COLOUR)
    axis.set_xlim(0, 109)  # room for the number beside a full bar
    axis.set_xticks(range(0, 101, 20))
    axis.tick_params(axis="x", labelsize=8)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("IoU (%)", fontsize=8)
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def plain(name: str) -> str:
    """The name with dollar signs escaped: matplotlib reads text between them as a formula."""
    return name.replace("$", r"\$")
