"""Evaluations at each TEST.EVAL_PERIOD; one that was cut short is made up for by `--resume`."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import hooks
from detectron2.utils import comm
from detectron2.utils.events import JSONWriter

logger = logging.getLogger(__name__)


class EvaluationHook(hooks.EvalHook):
    """Detectron2's, which would also evaluate after a last iteration that failed."""

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
    try:
        lines = log.read_text().splitlines()
    except OSError:
        return False
    return any(_is_of(line, iteration) for line in lines)


def _is_of(line: str, iteration: int) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:  # a kill has cut the line
        return False
    # results have a task in their name ("sem_seg/mIoU"), losses and times have none
    return (
        isinstance(entry, dict)
        and entry.get("iteration") == iteration
        and any("/" in name for name in entry)
    )
