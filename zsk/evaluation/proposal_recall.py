"""Quality of the mask proposals before they are named: the best overlap per segment.

Mean over ground-truth segments (one binary mask per class present in an image) of the best IoU that
any proposal reaches. Letters: H×W label map, h×w mask map, N proposals, G segments,
P scored pixels.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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

_CHUNK_ELEMENTS = 2**23  # float64: proposals of a large photo go through in slices of 64 MiB
_UNITS = 2**32  # IoUs are summed as whole numbers, so that no order of images changes the sum


def best_overlaps(
    pred_masks: torch.Tensor,
    gt: torch.Tensor,
    box: Box | None = None,
    ignore: int = IGNORE_LABEL,
) -> dict[int, float]:
    """The best IoU over the proposals for each class of a label map.

    Args:
        pred_masks: (N,h,w) float mask logits. They are upsampled bilinearly to H×W and binarised
            at a probability of 0.5.
        gt: (H,W) integer labels on the same device; `ignore` pixels take no part.
        box: the image on the masks; None where they cover it and nothing else.

    Returns:
        class id → IoU in 0..1, one entry per segment; 0 where there is no proposal.
    """
    scored = gt != ignore
    labels = gt[scored].unique()
    segments = (gt[scored][:, None] == labels).double()  # (P,G)
    best = torch.zeros(len(labels), dtype=torch.float64, device=gt.device)
    chunk = max(1, _CHUNK_ELEMENTS // gt.numel())
    for start in range(0, len(pred_masks), chunk):
        upsampled = resize_rows(pred_masks[start : start + chunk].float(), box, gt.shape)
        masks = (upsampled[:, scored] > 0).double()  # (n,P); a logit of 0 is a probability of 0.5
        overlap = masks @ segments
        union = masks.sum(dim=1)[:, None] + segments.sum(dim=0)[None] - overlap
        best = torch.maximum(best, (overlap / union).amax(dim=0))
    return dict(zip(labels.tolist(), best.tolist()))


class ProposalRecall(LabelledEvaluator):
    """Averages `best_overlaps` over a data set: all classes, seen ones, unseen ones.

    `process` takes per image {"pred_masks": (N,h,w) mask logits, "photo_box": see `best_overlaps`}.

    Args:
        dataset_name, trained_on: see `LabelledEvaluator`.
        output_dir: where PROPOSALS_FILE goes, {"dataset", "metrics": the result of `evaluate`,
            "classes": {name: {"segments", "bestIoU" in percent}}}; None writes nothing.
    """

    def __init__(
        self, dataset_name: str, trained_on: Sequence[str] = (), output_dir: str | None = None
    ) -> None:
        super().__init__(dataset_name, trained_on)
        self._output_dir = output_dir

    def reset(self) -> None:
        super().reset()
        # (K,2) int64: sum of best IoUs in units of 2^-32, number of segments
        self._totals = np.zeros((len(self.vocabulary), 2), dtype=np.int64)

    def add(self, file_name: str, ground_truth: np.ndarray, output: Mapping[str, Any]) -> None:
        pred_masks = output["pred_masks"]
        gt = torch.from_numpy(ground_truth.astype(np.int64)).to(pred_masks.device)
        box, ignore = output["photo_box"], ignore_label(len(self.vocabulary))
        for label, overlap in best_overlaps(pred_masks, gt, box, ignore).items():
            self._totals[label] += (round(overlap * _UNITS), 1)

    def evaluate(self) -> OrderedDict[str, dict[str, float]] | None:
        """Sum over processes and log.

        Returns:
            {"proposals": {"segments", "bestIoU", "bestIoU-seen", "bestIoU-unseen"}}, IoUs in
            percent; across data sets with the groups' names there (`zsk.evaluation.metrics`); a
            group without a segment is left out. None on all processes but the first.
        """
        totals = sum_over_processes(self._totals)
        self.image_counts()
        if not comm.is_main_process():
            return None
        seen = np.array(self.vocabulary.seen, dtype=bool)
        first, second = self.groups
        groups = {"": np.ones(len(seen), dtype=bool), f"-{first}": seen, f"-{second}": ~seen}
        results = {"segments": float(totals[:, 1].sum())}
        for suffix, group in groups.items():
            overlap, segments = totals[group].sum(axis=0)
            if segments:
                results["bestIoU" + suffix] = _mean_percent(overlap, segments)
        logger.info("%s proposals: %s", self.dataset_name, results)
        # every class with a segment: other groups can be averaged from the file
        classes = {
            name: {"segments": int(segments), "bestIoU": _mean_percent(overlap, segments)}
            for name, (overlap, segments) in zip(self.vocabulary.names, totals)
            if segments
        }
        if self._output_dir is not None:
            report = {"dataset": self.dataset_name, "metrics": results, "classes": classes}
            write_json(Path(self._output_dir, PROPOSALS_FILE), report)
        return OrderedDict(proposals=results)


def _mean_percent(overlap: int, segments: int) -> float:
    return float(100.0 * overlap / _UNITS / segments)
