"""The per-class chart: one bar per class with ground truth, best first, unseen classes marked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from zsk.evaluation.metrics import SPLIT_GROUPS
from zsk.vocabulary import Vocabulary

# two colours of Okabe and Ito's palette, which stay apart in every common kind of colour blindness
SEEN_COLOUR, UNSEEN_COLOUR = "#0072B2", "#D55E00"
_COLOURS = {True: SEEN_COLOUR, False: UNSEEN_COLOUR}

_BARS_PER_COLUMN = 60
_BAR_INCHES, _COLUMN_INCHES, _FRAME_INCHES = 0.2, 5.2, 1.3


def draw_per_class_iou(
    iou: Mapping[str, float],
    vocabulary: Vocabulary,
    path: Path,
    title: str,
    groups: tuple[str, str] = SPLIT_GROUPS,
) -> None:
    """Draw horizontal bars, sorted by IoU, as a PNG; long vocabularies go on in further columns.

    Args:
        iou: class name → IoU in percent; at least one class. Others are left out.
        vocabulary: says which class is seen.
        path: the PNG to write.
        title: the chart's heading.
        groups: what the legend calls the seen and the other classes.
    """
    seen = dict(zip(vocabulary.names, vocabulary.seen))
    ranked = sorted(iou, key=lambda name: (-iou[name], name))
    columns = math.ceil(len(ranked) / _BARS_PER_COLUMN)
    rows = math.ceil(len(ranked) / columns)
    size = (_COLUMN_INCHES * columns + 0.8, _BAR_INCHES * rows + _FRAME_INCHES)
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display, whatever backend the process uses elsewhere
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for column, axis in enumerate(axes):
        _draw_column(axis, ranked[column * rows : (column + 1) * rows], iou, seen, rows)
    figure.suptitle(f"IoU per class on {plain(title)}", fontsize=11)
    handles = [
        Patch(color=_COLOURS[group], label=_group_label(name, group, iou, seen))
        for name, group in zip(groups, (True, False))
        if any(seen[class_name] == group for class_name in iou)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    figure.savefig(path)


def _draw_column(
    axis: Axes, names: list[str], iou: Mapping[str, float], seen: Mapping[str, bool], rows: int
) -> None:
    values = [iou[name] for name in names]
    positions = range(len(names))
    axis.barh(positions, values, color=[_COLOURS[seen[name]] for name in names], height=0.72)
    for position, value in zip(positions, values):
        axis.text(value + 1, position, f"{value:.1f}", va="center", fontsize=7)
    axis.set_yticks(positions, [plain(name) for name in names], fontsize=8)
    for label, name in zip(axis.get_yticklabels(), names):
        label.set_color("black" if seen[name] else _COLOURS[False])
    axis.set_ylim(rows - 0.4, -0.6)  # best on top; the same bar height in a last, shorter column
    axis.set_xlim(0, 109)  # room for the number beside a full bar
    axis.set_xticks(range(0, 101, 20))
    axis.tick_params(axis="x", labelsize=8)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("IoU (%)", fontsize=8)
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _group_label(
    group_name: str, group: bool, iou: Mapping[str, float], seen: Mapping[str, bool]
) -> str:
    values = [value for name, value in iou.items() if seen[name] == group]
    return f"{group_name.replace('-', ' ')}: mean {np.mean(values):.1f} over {len(values)}"


def plain(name: str) -> str:
    """A name as it is: matplotlib would read text between dollar signs as a formula."""
    return name.replace("$", r"\$")
