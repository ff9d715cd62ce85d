"""A picture of the confusion matrix. Letter: K classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zsk.evaluation.chart import UNSEEN_COLOUR, plain
from zsk.files import replacing
from zsk.vocabulary import Vocabulary

_CELL_INCHES, _FRAME_INCHES = 0.13, 2.6
_MIN_INCHES = 2.0  # of the square of cells, however few they are
_MOST_CLASSES = 200  # in the picture: thousands take hours and cannot be read
_NUMBERED_CLASSES = 25  # more cells have no room for their number
_ELSEWHERE = "(all others)"  # classes without ground truth, and those that are left out


def shares_of_truth(conf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The predictions on each class that has ground truth, in percent.

    Args:
        conf: (K+1,K+1) int64.

    Returns:
        (P,) ids of the P classes with ground truth (at most _MOST_CLASSES, those with the most
        pixels), in the matrix's order; and (P,P+1) percent of a class's pixels: a column for each
        of the P classes, the last for all others together.
    """
    counts = conf[:-1, :-1].astype(np.float64)
    totals = counts.sum(axis=1)
    most = np.argsort(-totals, kind="stable")[: min(np.count_nonzero(totals), _MOST_CLASSES)]
    present = np.sort(most)
    kept = counts[np.ix_(present, present)]
    absent = totals[present, None] - kept.sum(axis=1, keepdims=True)
    return present, 100.0 * np.hstack([kept, absent]) / totals[present, None]


def draw_confusion(conf: np.ndarray, vocabulary: Vocabulary, path: Path, title: str) -> None:
    """Draw the matrix as a PNG, each row in percent of the class's pixels, seen classes first.

    Args:
        conf: (K+1,K+1) int64 with ground truth of at least one class.
        vocabulary: K classes.
        path: the PNG to write.
        title: the picture's heading.
    """
    seen_first = np.argsort(~np.array(vocabulary.seen), kind="stable")
    order = np.append(seen_first, len(vocabulary))
    present, shares = shares_of_truth(conf[np.ix_(order, order)])
    ids = seen_first[present]
    cell = _CELL_INCHES * (3 if len(ids) <= _NUMBERED_CLASSES else 1)
    side = max(_MIN_INCHES, cell * len(ids)) + _FRAME_INCHES
    figure = Figure(figsize=(side + 0.6, side), dpi=120, layout="constrained")
    axis = figure.subplots()
    # the square root shows what 5 % of a class became, which a linear scale leaves white
    image = axis.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=10, aspect="auto")
    bar = figure.colorbar(image, ax=axis, shrink=0.6, ticks=np.sqrt([0, 5, 25, 50, 100]))
    bar.ax.set_yticklabels(["0", "5", "25", "50", "100"], fontsize=8)
    bar.set_label("% of the class's pixels", fontsize=8)
    _label_axes(axis, ids.tolist(), vocabulary)
    if len(ids) <= _NUMBERED_CLASSES:
        for row, column in np.argwhere(shares >= 0.5):
            value = shares[row, column]
            colour = "white" if value > 40 else "black"
            axis.text(column, row, f"{value:.0f}", ha="center", va="center", size=7, color=colour)
    left_out = int(conf[:-1, :-1].any(axis=1).sum()) - len(ids)
    heading = f"What pixels were taken for, {plain(title)}"
    if left_out:
        heading += f": the {len(ids)} classes with the most pixels, {left_out:,} left out"
    figure.suptitle(heading, fontsize=11)
    with replacing(path) as unfinished:
        figure.savefig(unfinished)


def _label_axes(axis: Axes, ids: list[int], vocabulary: Vocabulary) -> None:
    names = [plain(vocabulary.names[k]) for k in ids]
    axis.set_xticks(range(len(ids) + 1), [*names, _ELSEWHERE], fontsize=7, rotation=90)
    axis.set_yticks(range(len(ids)), names, fontsize=7)
    axis.tick_params(length=0)
    axis.set_xlabel("taken for (orange: not seen in training)", fontsize=8)
    axis.set_ylabel("ground truth", fontsize=8)
    for labels in (axis.get_xticklabels(), axis.get_yticklabels()):
        for label, k in zip(labels, ids):
            if not vocabulary.seen[k]:
                label.set_color(UNSEEN_COLOUR)
    number_seen = sum(vocabulary.seen[k] for k in ids)
    for draw in (axis.axhline, axis.axvline):
        if 0 < number_seen < len(ids):
            draw(number_seen - 0.5, color=UNSEEN_COLOUR, linewidth=0.8)
    axis.axvline(len(ids) - 0.5, color="#888888", linewidth=0.8)
