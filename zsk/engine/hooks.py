"""What training says on its way."""

import logging
from collections.abc import Iterable
from typing import Any

from detectron2.engine import HookBase

from zsk.data.unreadable import SkippedFiles

ZERO_LOSSES = 50
"""So many iterations with a loss of exactly 0 are told."""

logger = logging.getLogger(__name__)


def telling_hooks(data_loader: Iterable[Any]) -> list[HookBase]:
    """The hooks below, as far as they suit the loader of the training."""
    hooks: list[HookBase] = [TellZeroLoss()]
    if isinstance(data_loader, SkippedFiles):
        hooks.append(TellSkippedFiles(data_loader))
    return hooks


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


class TellSkippedFiles(HookBase):
    """At the end, says how many training images could not be read."""

    def __init__(self, skipped: SkippedFiles) -> None:
        self.skipped = skipped

    def after_train(self) -> None:
        logger.info(self.skipped.summary())
        for reason in self.skipped.files.values():
            logger.info(f"skipped: {reason}")
