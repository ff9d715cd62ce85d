"""What training does beside its steps: it tells, evaluates, and keeps the best checkpoint."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import HookBase, hooks
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm
from detectron2.utils.events import JSONWriter
from fvcore.common.checkpoint import Checkpointer

from zsk.data.samples import SkippedFiles
from zsk.errors import UserError
from zsk.safe_load import read_file

ZERO_LOSSES = 50
"""So many iterations with a loss of exactly 0 are told."""

BEST_NAME = "model_best"

logger = logging.getLogger(__name__)


def telling_hooks(data_loader: Iterable[Any]) -> list[HookBase]:
    """They tell of a loss of 0 and, at the end, of training images that could not be read."""

    def tell_skipped(_: Any) -> None:
        if isinstance(data_loader, SkippedFiles):
            logger.info(data_loader.summary())
            for reason in data_loader.files.values():
                logger.info(f"skipped: {reason}")

    return [TellZeroLoss(), hooks.CallbackHook(after_train=tell_skipped)]


class TellZeroLoss(HookBase):
    """Warns, again and again, while the loss is exactly 0: there is nothing to learn from."""

    def __init__(self) -> None:
        self._zeros = 0

    def after_step(self) -> None:
        loss = self.trainer.storage.latest().get("total_loss", (1.0, 0))[0]
        self._zeros = 0 if loss else self._zeros + 1
        if self._zeros and self._zeros % ZERO_LOSSES == 0:
            logger.warning(
                f"the loss has been exactly 0 for {self._zeros} iterations: the labels show no "
                "pixel of a seen class; zsk check counts the classes, and "
                "label_values in the split file says which value is which class"
            )


class EvaluationHook(hooks.EvalHook):
    """Detectron2's, which would also evaluate after a last iteration that failed.

    An evaluation at a TEST.EVAL_PERIOD that was cut short is made up for by `--resume`.
    """

    def __init__(self, cfg: CfgNode, evaluate: Callable[[], Any]) -> None:
        super().__init__(cfg.TEST.EVAL_PERIOD, evaluate)
        self.log = Path(cfg.OUTPUT_DIR, "metrics.json")

    def before_train(self) -> None:
        """Evaluate the checkpoint of a resumed training if that was due and is not in the log.

        A training that has finished is evaluated in any case, by `after_train`.
        """
        done = self.trainer.start_iter
        due = 0 < done < self.trainer.max_iter and self._period > 0 and done % self._period == 0
        # the main process writes the log, and all of them evaluate or none
        if due and not comm.all_gather(was_evaluated(self.log, done - 1))[0]:
            logger.info(f"the evaluation after iteration {done - 1} is made up for")
            storage = self.trainer.storage
            storage.iter = done - 1
            self._do_eval()
            storage.iter = done

    def _do_eval(self) -> None:
        super()._do_eval()
        for writer in self.trainer.writers:
            if isinstance(writer, JSONWriter):  # at once: the next writing may come after a kill
                writer.write()

    def after_train(self) -> None:
        if self.trainer.iter >= self.trainer.max_iter:
            super().after_train()


def was_evaluated(log: Path, iteration: int) -> bool:
    """Whether a metrics.json has results of an evaluation after the iteration."""
    for line in log.read_text().splitlines() if log.is_file() else ():
        try:
            entry = json.loads(line)
        except ValueError:  # a kill has cut the line
            continue
        # results have a task in their name ("sem_seg/mIoU"), losses and times have none
        if entry.get("iteration") == iteration and any("/" in name for name in entry):
            return True
    return False


class BestCheckpoint:
    """Keeps BEST_NAME.pth, which also holds {"best": {"metric", "value", "datasets"}}.

    Larger is better.
    """

    def __init__(
        self, metric: str, datasets: Sequence[str], checkpointer: Checkpointer, resumed: bool
    ) -> None:
        """
        Args:
            metric: a name within the results, "hIoU"; of several data sets the first one counts.
            datasets: the names of those.
            resumed: an older file's value on the same data sets is to be surpassed.
        """
        self.metric = metric
        self.datasets = list(datasets)
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
        self.value = float(found[0])
        last = self.checkpointer.get_checkpoint_file()
        best = {"metric": self.metric, "value": self.value, "datasets": self.datasets}
        self.checkpointer.save(BEST_NAME, iteration=iteration, best=best)
        if last:  # a run is resumed from the last checkpoint, not from the best
            self.checkpointer.tag_last_checkpoint(os.path.basename(last))
        logger.info(f"{told} is the best so far: saved as {BEST_NAME}.pth")

    def _saved_value(self) -> float | None:
        path = os.path.join(self.checkpointer.save_dir, f"{BEST_NAME}.pth")
        if not os.path.isfile(path):
            return None
        try:
            best = read_file(path, "checkpoint")["best"]
            if best["metric"] != self.metric:
                raise ValueError(f"it was chosen by {best['metric']}")
            if best.get("datasets", self.datasets) != self.datasets:
                raise ValueError(f"it was chosen on {', '.join(best['datasets'])}")
            value = float(best["value"])
        except (UserError, LookupError, TypeError, ValueError) as error:
            logger.warning(f"{path} is going to be replaced ({error})")
            return None
        logger.info(f"{path} has {self.metric} {value:.2f}, which is to be surpassed")
        return value
