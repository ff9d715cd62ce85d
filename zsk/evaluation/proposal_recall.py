"""Quality of the mask proposals before they are named: the best overlap per segment.

Mean over ground-truth segments (one binary mask per class present in an image) of the best IoU that
any proposal reaches. Pixels without a label take no part in an IoU, so the share of them in the
best proposal is told beside it: CLIP sees these pixels, too. Letters: H×W label map, h×w mask map,
N proposals, G segments, P scored pixels.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.utils import comm

from zsk.evaluation.labelled import LabelledEvaluator, sum_over_processes
from zsk.evaluation.report import write_json
from zsk.looks.true_scale import Box, resize_rows
from zsk.vocabulary import IGNORE_LABEL, ignore_label

logger = logging.getLogger(__name__)

PROPOSALS_FILE = "proposals.json"
"""Beside metrics.json: the best IoU per group of classes and per class."""

MEASURES = "bestIoU", "unlabelled"
"""Names of the means, in the order of `Overlap`."""

_CHUNK_ELEMENTS = 2**23  # float64: proposals of a large photo go through in slices of 64 MiB
_UNITS = 2**32  # shares are summed as whole numbers, so that no order of images changes the sum


class Overlap(NamedTuple):
    """Of a segment and the proposal that fits it best, both in 0..1; 0 without a proposal."""

    iou: float
    unlabelled: float  # the share of the proposal's pixels that have no label


def best_overlaps(
    pred_masks: torch.Tensor,
    gt: torch.Tensor,
    box: Box | None = None,
    ignore: int = IGNORE_LABEL,
) -> dict[int, Overlap]:
    """The best IoU over the proposals for each class of a label map.

    Args:
        pred_masks: (N,h,w) float mask logits. They are upsampled bilinearly to H×W and binarised
            at a probability of 0.5.
        gt: (H,W) integer labels on the same device; `ignore` pixels take no part.
        box: the image on the masks; None where they cover it and nothing else.

    Returns:
        class id → its overlap, one entry per segment.
    """
    scored = gt != ignore
    labels = gt[scored].unique()
    segments = (gt[scored][:, None] == labels).double()  # (P,G)
    best = torch.zeros(len(labels), 2, dtype=torch.float64, device=gt.device)
    chunk = max(1, _CHUNK_ELEMENTS // gt.numel())
    for start in range(0, len(pred_masks), chunk):
        upsampled = resize_rows(pred_masks[start : start + chunk].float(), box, gt.shape)
        inside = upsampled > 0  # a logit of 0 is a probability of 0.5
        masks = inside[:, scored].double()  # (n,P)
        overlap, labelled = masks @ segments, masks.sum(dim=1)
        iou, index = (overlap / (labelled[:, None] + segments.sum(dim=0) - overlap)).max(dim=0)
        area = inside.flatten(1).sum(dim=1).clamp(min=1)
        found = torch.stack([iou, (1 - labelled / area)[index]], dim=1)
        best = torch.where(iou[:, None] > best[:, :1], found, best)
    return {label: Overlap(*row) for label, row in zip(labels.tolist(), best.tolist())}


class ProposalRecall(LabelledEvaluator):
    """Averages `best_overlaps` over a data set: all classes, seen ones, unseen ones.

    `process` takes per image {"pred_masks": (N,h,w) mask logits, "photo_box": see `best_overlaps`}.

    Args:
        dataset_name, trained_on: see `LabelledEvaluator`.
        output_dir: where PROPOSALS_FILE goes, {"dataset", "metrics": the result of `evaluate`,
            "classes": {name: {"segments", "bestIoU" and "unlabelled" in percent}}}.
    """

    def __init__(
        self, dataset_name: str, output_dir: str, *, trained_on: Sequence[str] = ()
    ) -> None:
        super().__init__(dataset_name, trained_on)
        self._output_dir = output_dir

    def reset(self) -> None:
        super().reset()
        # (K,3) int64: number of segments, sums of the two parts of `Overlap` in units of 2^-32
        self._totals = np.zeros((len(self.vocabulary), 3), dtype=np.int64)

    def add(self, file_name: str, ground_truth: np.ndarray, output: Mapping[str, Any]) -> None:
        pred_masks = output["pred_masks"]
        gt = torch.from_numpy(ground_truth.astype(np.int64)).to(pred_masks.device)
        box, ignore = output["photo_box"], ignore_label(len(self.vocabulary))
        for label, overlap in best_overlaps(pred_masks, gt, box, ignore).items():
            self._totals[label] += (1, *(round(share * _UNITS) for share in overlap))

    def evaluate(self) -> OrderedDict[str, dict[str, float]] | None:
        """Sum over processes and log.

        Returns:
            {"proposals": {"segments", "bestIoU", "bestIoU-seen", "bestIoU-unseen", and the same
            of "unlabelled"}}, shares in percent; across data sets with the groups' names there
            (`zsk.evaluation.metrics`); a group without a segment is left out. None on all
            processes but the first.
        """
        totals = sum_over_processes(self._totals)
        self.image_counts()
        if not comm.is_main_process():
            return None
        seen = np.array(self.vocabulary.seen, dtype=bool)
        first, second = self.groups
        groups = {"": np.ones(len(seen), dtype=bool), f"-{first}": seen, f"-{second}": ~seen}
        results = {"segments": float(totals[:, 0].sum())}
        for suffix, group in groups.items():
            means = _means(totals[group].sum(axis=0))
            results |= {name + suffix: value for name, value in means.items()}
        logger.info("%s proposals: %s", self.dataset_name, results)
        # every class with a segment: other groups can be averaged from the file
        classes = {
            name: {"segments": int(row[0]), **_means(row)}
            for name, row in zip(self.vocabulary.names, totals)
            if row[0]
        }
        report = {"dataset": self.dataset_name, "metrics": results, "classes": classes}
        write_json(Path(self._output_dir, PROPOSALS_FILE), report)
        return OrderedDict(proposals=results)


def _means(totals: np.ndarray) -> dict[str, float]:
    """In percent; nothing without a segment."""
    segments, *sums = totals.tolist()
    return {name: 100.0 * s / _UNITS / segments for name, s in zip(MEASURES, sums) if segments}
