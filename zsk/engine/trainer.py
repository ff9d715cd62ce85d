"""Detectron2's trainer with an exact resume, a checkpoint on SIGTERM and Ctrl-C, and the best one.

Subclasses say how model, optimizer, scheduler, loaders and evaluators are built.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, hooks
from detectron2.utils import comm

from zsk.data.samples import seed_iteration
from zsk.engine.distributed import lost_processes_named
from zsk.engine.hooks import BestCheckpoint, EvaluationHook
from zsk.engine.network_settings import towers
from zsk.engine.resume import Checkpoint, TrainingCheckpointer
from zsk.engine.settings import changes, training_settings
from zsk.engine.signals import Stopped, StopSignals
from zsk.engine.solver import restore_moments, set_iteration
from zsk.protocol import PROTOCOL, loosest, noted_protocol

logger = logging.getLogger(__name__)


class ResumableTrainer(DefaultTrainer):
    """A run that is stopped and resumed ends with the weights of one that is not (on the CPU).

    All random draws of an iteration depend on cfg.SEED (0 or more), its number and the process;
    those of the images on SEED and the number of the image. So no random state is saved.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self.trained = self.saved = -1  # the last iteration in the weights, and in a checkpoint
        self.signals = StopSignals()
        self.writers: list[Any] = []  # of the main process
        super().__init__(cfg)
        model = getattr(self._trainer.model, "module", self._trainer.model)  # of several processes
        self.settings = {
            **training_settings(self.cfg, comm.get_world_size()),
            **towers(model),
        }

    def build_writers(self) -> list[Any]:
        self.writers = super().build_writers()
        return self.writers

    def build_hooks(self) -> list[Any]:
        """Detectron2's, with a look for signals between the checkpoint and the evaluation.

        The hooks hold the checkpointer, so it is made here.
        """
        self.checkpointer = TrainingCheckpointer(
            self._trainer.model, self.cfg.OUTPUT_DIR, trainer=weakref.proxy(self)
        )
        found = super().build_hooks()
        at = next(i for i, hook in enumerate(found) if isinstance(hook, hooks.EvalHook))
        evaluation = EvaluationHook(self.cfg, self._evaluate)
        found[at : at + 1] = [hooks.CallbackHook(after_step=_stop_if_asked), evaluation]
        return found

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on after the checkpoint. Raises a UserError where it is of another configuration."""
        self.checkpointer.resume(checkpoint)
        self.start_iter = self.trained + 1

    def note_of_start(self, trained: Mapping[str, Any]) -> None:
        """Weights keep a looser protocol than this training's, however they go on."""
        self.settings[PROTOCOL] = loosest(self.settings[PROTOCOL], noted_protocol(trained))

    def train(self) -> Any:
        """Train and evaluate; a training that has finished is evaluated only.

        Raises:
            Stopped: after SIGTERM or Ctrl-C, with a checkpoint of the last iteration.
        """
        if self.start_iter >= self.cfg.SOLVER.MAX_ITER:
            logger.warning(
                f"the training of {self.start_iter} iterations has finished (SOLVER.MAX_ITER is "
                f"{self.cfg.SOLVER.MAX_ITER}): the model is evaluated; a larger SOLVER.MAX_ITER "
                "trains on"
            )
        metric, resumed = self.cfg.TEST.BEST_METRIC, self.start_iter > 0
        self.best = BestCheckpoint(metric, self.checkpointer, resumed) if metric else None
        with self.signals:
            try:
                return super().train()
            except Stopped as stopped:
                self.save_unless_saved()
                logger.warning(
                    f"stopped by {stopped.signal_name} after iteration {self.trained}: --resume "
                    f"goes on from the checkpoint {self.checkpointer.get_checkpoint_file()}"
                )
                raise

    def before_step(self) -> None:
        super().before_step()
        seed_iteration(self.cfg.SEED, self.iter, comm.get_rank())

    def run_step(self) -> None:
        with lost_processes_named():
            super().run_step()

    def after_step(self) -> None:
        self.trained = self.iter
        with lost_processes_named():
            super().after_step()

    def save_unless_saved(self) -> None:
        """Write a checkpoint, if the periodic ones have none of the last iteration."""
        done = self.trained + 1
        if done % self.cfg.SOLVER.CHECKPOINT_PERIOD == 0 or done >= self.max_iter:
            self.saved = self.trained
        if self.saved != self.trained:
            self.checkpointer.save(f"model_{self.trained:07d}", iteration=self.trained)
            self.saved = self.trained

    def _evaluate(self) -> Any:
        try:
            with self.signals.at_once():
                self._last_eval_results = self.test(
                    self.cfg, self.model, protocol=self.settings[PROTOCOL]
                )
        except Stopped:
            logger.warning(
                f"the evaluation after iteration {self.trained} is left: --resume begins with it"
            )
            raise
        if self.best is not None and comm.is_main_process():
            self.best.update(self._last_eval_results, self.trained)
        return self._last_eval_results

    def state_dict(self) -> dict[str, Any]:
        state = {
            # Detectron2 0.6 leaves it out: Adam's moments
            "_trainer": self._trainer.state_dict(),
            "settings": self.settings,
        }
        return {**super().state_dict(), **state, "iteration": self.trained}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Iteration, moments and the scaler of AMP; rates and schedule are those of cfg."""
        inner = state_dict["_trainer"]
        self.iter = self.trained = self.saved = state_dict["iteration"]
        restore_moments(self.optimizer, inner["optimizer"])
        if "grad_scaler" in inner and hasattr(self._trainer, "grad_scaler"):
            self._trainer.grad_scaler.load_state_dict(inner["grad_scaler"])
        if self.trained + 1 < self.cfg.SOLVER.MAX_ITER:
            set_iteration(self.scheduler, self.trained + 1)
        saved = state_dict.get("settings", {})
        self.note_of_start(saved)
        changed = changes(saved, self.settings)
        if changed:
            logger.warning(f"resumed with settings other than the checkpoint's: {changed}")


def _stop_if_asked(trainer: ResumableTrainer) -> None:
    """All processes stop after the same iteration, when the checkpoint is written."""
    signals = [number for number in comm.all_gather(trainer.signals.number) if number is not None]
    if signals:
        trainer.save_unless_saved()
        comm.synchronize()
        raise Stopped(signals[0])
