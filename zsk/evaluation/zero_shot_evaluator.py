"""The Detectron2 evaluator of generalised zero-shot segmentation: label maps in, report out."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.utils import comm
from torch import Tensor

from zsk.errors import UserError
from zsk.evaluation.cells import labels_of_cells, section_of_cells
from zsk.evaluation.labelled import LabelledEvaluator, sum_over_processes
from zsk.evaluation.metrics import SEEN_ONLY, check_range, confusion_matrix, summarise
from zsk.evaluation.report import heading, provenance, tables, write_report
from zsk.protocol import INDUCTIVE, PROTOCOL

logger = logging.getLogger(__name__)


class ZeroShotEvaluator(LabelledEvaluator):
    """Adds images to one confusion matrix; memory does not grow with their number.

    `process` takes per image {"pred_labels": (H,W) integer tensor at the label file's size} and,
    with a `cell_stride`, "pred_cells" (h,w).

    Args:
        dataset_name, trained_on, seen_only: see `LabelledEvaluator`; `zsk.evaluation.metrics` has
            the names of the metrics across data sets and with `seen_only`.
        output_dir: where `metrics.json`, `confusion.npy` and `per_class_iou.png` go; None writes
            nothing.
        run_info: more keys of the provenance ("config_hash", "seed").
        protocol: what the model's training used of unseen classes (`zsk.protocol`); all that is
            reported says so.
        cell_stride: over 0: cells of so many pixels are scored, too (`zsk.evaluation.cells`).
    """

    def __init__(
        self,
        dataset_name: str,
        output_dir: str | None = None,
        *,
        trained_on: Sequence[str] = (),
        run_info: Mapping[str, Any] | None = None,
        seen_only: bool = False,
        protocol: str = INDUCTIVE,
        cell_stride: int = 0,
    ) -> None:
        super().__init__(dataset_name, trained_on, seen_only=seen_only)
        self._cell_stride = cell_stride
        self._output_dir = output_dir
        self._run_info = dict(run_info or {})
        self._protocol = protocol

    def reset(self) -> None:
        super().reset()
        size = len(self.vocabulary) + 1
        self._conf = np.zeros((size, size), dtype=np.int64)
        self._cells = np.zeros_like(self._conf)

    def add(self, file_name: str, ground_truth: np.ndarray, output: Mapping[str, Any]) -> None:
        try:
            pred = self._classes(output["pred_labels"])
            self._conf += confusion_matrix(pred, ground_truth, len(self.vocabulary))
            if self._cell_stride:
                cells = self._classes(output["pred_cells"])
                truth = labels_of_cells(ground_truth, cells.shape)
                self._cells += confusion_matrix(cells, truth, len(self.vocabulary))
        except ValueError as error:
            raise UserError(f"label {file_name} cannot be scored: {error}") from error

    def _classes(self, predicted: Tensor) -> np.ndarray:
        """Predicted words -> classes, of the same shape. Raises ValueError for one out of range."""
        words = predicted.cpu().numpy()
        if self.classes_of_words is None:
            return words
        check_range("prediction", words, len(self.question))
        return self.classes_of_words[words]

    def evaluate(self) -> OrderedDict[str, dict[str, float]] | None:
        """Sum over processes, print the tables, write the report.

        Returns:
            {"sem_seg": {"mIoU": …, "hIoU": …, "IoU-<class>": …, "Acc-<class>": …}} in percent, or
            {"sem_seg_seen_only": {"mIoU-seen-only": …, …}}, with "mIoU@8", "mIoU@8-mIoU" and so on
            for cells; None on all processes but the first (as Detectron2 expects it).
        """
        conf, cells = map(sum_over_processes, (self._conf, self._cells))
        images, all_ignore = self.image_counts()
        if not comm.is_main_process():
            return None
        logger.info("%s: %d images, %d all-ignore", self.dataset_name, images, all_ignore)
        if self.cross_dataset:
            logger.info(
                "%s: across data sets, the model was trained on %d of the %d names",
                self.dataset_name,
                *(sum(self.joint_vocabulary.seen), len(self.joint_vocabulary)),
            )
        report = self._report(conf, cells, images, all_ignore)
        for table in tables(report):
            logger.info("%s\n%s", heading(report), table)
        # Detectron2's copy-paste line leaves out what has a "-" in its name
        flat = dict(report["metrics"])
        if "cells" in report:
            flat |= report["cells"]["metrics"] | report["cells"]["differences"]
        for line in (flat, (f"{value:.4f}" for value in flat.values())):
            logger.info("copypaste, all metrics: %s", ",".join(line))
        if self._output_dir is not None:
            write_report(report, conf, self.vocabulary, Path(self._output_dir))
        for key in ("IoU", "Acc"):
            flat.update({f"{key}-{name}": value for name, value in report[key].items()})
        return OrderedDict({"sem_seg_seen_only" if self.seen_only else "sem_seg": flat})

    def _report(
        self, conf: np.ndarray, cells: np.ndarray, images: int, all_ignore: int
    ) -> dict[str, Any]:
        metrics, classes = self._summary(conf), self.vocabulary
        # of words that stand for classes, they are what competes
        competing = self.question if self.classes_of_words is not None else self.joint_vocabulary
        report = {
            "dataset": self.dataset_name,
            "vocabulary": "seen" if self.seen_only else "joint",
            "cross_dataset": self.cross_dataset,
            PROTOCOL: self._protocol,
            # classes without ground truth have no IoU, so these two alone list all that competed
            "classes": list(classes.names),
            "unseen": [name for name, seen in zip(classes.names, classes.seen) if not seen],
            "IoU": metrics.pop("IoU"),
            "Acc": metrics.pop("Acc"),
            "metrics": metrics,
            "images": images,
            "images_all_ignore": all_ignore,
            "provenance": {
                **provenance(),
                "split_hash": competing.fingerprint(),
                **self._run_info,
            },
        }
        if self._cell_stride:
            at_cells = self._summary(cells)
            lost = report["IoU"].keys() - at_cells.pop("IoU").keys()
            if lost:
                logger.warning(
                    "%s: no cell of %d pixels shows %s: the means of cells are over fewer classes",
                    *(self.dataset_name, self._cell_stride, ", ".join(sorted(lost))),
                )
            del at_cells["Acc"]
            report["cells"] = section_of_cells(metrics, at_cells, self._cell_stride)
        return report

    def _summary(self, conf: np.ndarray) -> dict[str, Any]:
        suffix = SEEN_ONLY if self.seen_only else ""
        return summarise(conf, self.vocabulary, self.groups, suffix)
