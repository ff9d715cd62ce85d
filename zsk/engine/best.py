"""The best checkpoint by a metric of the evaluation, kept beside the last one."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from detectron2.evaluation.testing import flatten_results_dict
from fvcore.common.checkpoint import Checkpointer

from zsk.errors import UserError
from zsk.safe_load import read_file

BEST_NAME = "model_best"

logger = logging.getLogger(__name__)


class BestCheckpoint:
    """Keeps BEST_NAME.pth, which also holds {"best": {"metric", "value"}}; larger is better."""

    def __init__(self, metric: str, checkpointer: Checkpointer, resumed: bool) -> None:
        """
        Args:
            metric: a name within the results, "hIoU"; of several data sets the first one counts.
            resumed: an older file's value is to be surpassed.
        """
        self.metric = metric
        self.checkpointer = checkpointer
        self.value = self._saved_value() if resumed else None

    def update(self, results: Mapping[str, Any], iteration: int) -> None:
        """After an evaluation of the weights after `iteration`, counted from 0."""
        flat = flatten_results_dict(results)
        found = [v for k, v in flat.items() if k == self.metric or k.endswith(f"/{self.metric}")]
        if not found:
            logger.warning(
                f"TEST.BEST_METRIC {self.metric}: the evaluation after iteration {iteration} has "
                f"no such number, so {BEST_NAME}.pth is not written"
            )
            return
        told = f"{self.metric} {found[0]:.2f} after iteration {iteration}"
        if self.value is not None and found[0] <= self.value:
            logger.info(f"{told}: {BEST_NAME}.pth stays the one with {self.value:.2f}")
            return
        self.value = found[0]
        self._save(iteration)
        logger.info(f"{told} is the best so far: saved as {BEST_NAME}.pth")

    def _save(self, iteration: int) -> None:
        last = self.checkpointer.get_checkpoint_file()
        best = {"metric": self.metric, "value": float(self.value or 0.0)}
        self.checkpointer.save(BEST_NAME, iteration=iteration, best=best)
        if last:  # a run is resumed from the last checkpoint, not from the best
            self.checkpointer.tag_last_checkpoint(os.path.basename(last))

    def _saved_value(self) -> float | None:
        path = os.path.join(self.checkpointer.save_dir, f"{BEST_NAME}.pth")
        if not os.path.isfile(path):
            return None
        try:
            best = read_file(path, "checkpoint")["best"]
            metric, value = best["metric"], float(best["value"])
        except (UserError, LookupError, TypeError, ValueError) as error:
            logger.warning(f"{path} is going to be replaced ({error})")
            return None
        if metric != self.metric:
            logger.warning(f"{path} was chosen by {metric}, and is going to be replaced")
            return None
        logger.info(f"{path} has {metric} {value:.2f}, which is to be surpassed")
        return value
