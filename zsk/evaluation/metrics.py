"""From label maps to numbers: one confusion matrix over the joint label space, then arithmetic.

Pure functions. The rules are those of generalised zero-shot segmentation: seen and unseen classes
compete in one prediction. Letters: H×W label map, K classes.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from zsk.vocabulary import Vocabulary, ignore_label

logger = logging.getLogger(__name__)

SPLIT_GROUPS = ("seen", "unseen")
"""Names of the two groups of classes where seen and unseen are those of one split."""

NAME_GROUPS = ("trained-names", "new-names")
"""Their names across data sets: no mask of the data set was trained on, so both groups are
transfer, and a harmonic mean of the two would pass for a generalised zero-shot score."""

SEEN_ONLY = "-seen-only"
"""Behind the names of means where only seen names competed and only seen pixels are scored: no
unseen name competes, so these are no zero-shot numbers."""


def confusion_matrix(pred: np.ndarray, gt: np.ndarray, num_classes: int) -> np.ndarray:
    """Count every pixel of one image by its true and its predicted class.

    Args:
        pred: (H,W) integers in 0..K-1. Ignore is not a prediction.
        gt: (H,W) integers in 0..K-1, or `ignore_label(K)`.

    Returns:
        (K+1,K+1) int64: rows are ground truth, columns predictions. Row K holds the ignored pixels,
        which no metric reads; column K is zero.

    Raises:
        ValueError: shapes differ, or a label lies outside its range.
    """
    if pred.shape != gt.shape:
        raise ValueError(f"prediction and ground truth differ in shape: {pred.shape}, {gt.shape}")
    check_range("prediction", pred, num_classes)
    scored = gt != ignore_label(num_classes)
    check_range("ground truth", gt[scored], num_classes)
    rows = np.where(scored, gt, num_classes).astype(np.int64)
    cells = rows * (num_classes + 1) + pred
    counts = np.bincount(cells.ravel(), minlength=(num_classes + 1) ** 2)
    return counts.reshape(num_classes + 1, num_classes + 1)


def summarise(
    conf: np.ndarray,
    vocabulary: Vocabulary,
    groups: tuple[str, str] = SPLIT_GROUPS,
    suffix: str = "",
) -> dict[str, Any]:
    """All metrics of a confusion matrix, in percent.

    A class is in a mean only when the ground truth has pixels of it; IoU_k = TP/(GT + Pred − TP).
    A pixel that is predicted as a class without ground truth lowers the IoU of its true class only
    (Detectron2's rule). A prediction on an ignored pixel counts nowhere.

    Args:
        conf: (K+1,K+1) from `confusion_matrix`, summed over images.
        vocabulary: the joint one, K classes.
        groups: SPLIT_GROUPS or NAME_GROUPS.
        suffix: SEEN_ONLY where the vocabulary is `Vocabulary.seen_only()` of the joint one.

    Returns:
        "mIoU", "pAcc", "mAcc", "fwIoU" and the same mIoU and pAcc over one group ("mIoU-seen", …);
        with SPLIT_GROUPS "hIoU" (the harmonic mean of the groups' mIoU, 0 when either is 0); "IoU"
        and "Acc": class name → value. A number without ground truth is absent, with a warning.
        Where all classes are seen there are no numbers of groups. With a suffix the first four
        have it behind their names.
    """
    k = len(vocabulary)
    assert conf.shape == (k + 1, k + 1), conf.shape
    counts = conf[:k, :k].astype(np.float64)
    true_pos, gt, pred = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    present = gt > 0
    iou, acc = np.zeros(k), np.zeros(k)
    iou[present] = 100.0 * true_pos[present] / (gt + pred - true_pos)[present]
    acc[present] = 100.0 * true_pos[present] / gt[present]

    metrics: dict[str, Any] = {}
    seen = np.array(vocabulary.seen, dtype=bool)
    members_of = {suffix: np.ones(k, dtype=bool)}
    if not seen.all():
        members_of |= {f"-{groups[0]}": seen, f"-{groups[1]}": ~seen}
    for ending, group in members_of.items():
        members = group & present
        if not members.any():
            if group.any():
                kind = ending.removesuffix(suffix)
                logger.warning("No ground truth of any%s class: its means are left out", kind)
            continue
        metrics["mIoU" + ending] = float(iou[members].mean())
        metrics["pAcc" + ending] = float(100.0 * true_pos[members].sum() / gt[members].sum())
    if groups == SPLIT_GROUPS and "mIoU-seen" in metrics and "mIoU-unseen" in metrics:
        metrics["hIoU"] = harmonic_mean(metrics["mIoU-seen"], metrics["mIoU-unseen"])
    if present.any():
        metrics["mAcc" + suffix] = float(acc[present].mean())
        metrics["fwIoU" + suffix] = float((gt * iou).sum() / gt.sum())
    metrics["IoU"] = {vocabulary.names[i]: float(iou[i]) for i in np.flatnonzero(present)}
    metrics["Acc"] = {vocabulary.names[i]: float(acc[i]) for i in np.flatnonzero(present)}
    return metrics


def harmonic_mean(a: float, b: float) -> float:
    """2ab / (a + b) of two non-negative numbers; 0 when either is 0."""
    return 2.0 * a * b / (a + b) if a > 0 and b > 0 else 0.0


def check_range(what: str, labels: np.ndarray, num_classes: int) -> None:
    """Raise a ValueError that calls the labels `what` unless all lie in 0..K-1."""
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if wrong.size:
        raise ValueError(
            f"the {what} holds label {int(wrong.flat[0])}, outside 0..{num_classes - 1}"
        )
