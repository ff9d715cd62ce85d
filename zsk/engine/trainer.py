"""The trainer of `zsk train`: Detectron2's with this project's optimizer, loaders and evaluators.

It resumes exactly, writes a checkpoint on SIGTERM and Ctrl-C, and keeps the best one.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, hooks
from detectron2.projects.deeplab import build_lr_scheduler
from detectron2.utils import comm
from torch import nn
from torch.utils.data import DataLoader

from zsk.classification.text_classifier import warn_of_leaks
from zsk.data.loader import build_test_loader, build_train_loader
from zsk.data.samples import SkippedFiles, seed_iteration
from zsk.data.vocabularies import get_vocabulary
from zsk.engine.distributed import lost_processes_named
from zsk.engine.hooks import BestCheckpoint, EvaluationHook, telling_hooks
from zsk.engine.network_settings import CLASSES, towers
from zsk.engine.resume import Checkpoint, TrainingCheckpointer
from zsk.engine.self_training import SelfTraining, build_self_training
from zsk.engine.settings import changes, training_settings
from zsk.engine.signals import Stopped, StopSignals
from zsk.engine.solver import build_optimizer, restore_moments, set_iteration
from zsk.engine.start_checks import check_start, scaled
from zsk.errors import UserError
from zsk.evaluation.build import build_evaluators
from zsk.looks.test_time_augmentation import with_test_time_augmentation
from zsk.protocol import LEAK, PROTOCOL, loosest, noted_protocol
from zsk.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


class Trainer(DefaultTrainer):
    """A run that is stopped and resumed ends with the weights of one that is not (on the CPU).

    All random draws of an iteration depend on cfg.SEED (0 or more), its number and the process;
    those of the images on SEED and the number of the image. So no random state is saved.
    """

    build_optimizer = staticmethod(build_optimizer)
    build_lr_scheduler = staticmethod(build_lr_scheduler)
    build_test_loader = staticmethod(build_test_loader)

    def __init__(self, cfg: CfgNode, start_iter: int = 0) -> None:
        self.first_iter = start_iter  # read by build_train_loader, which the base class calls
        self.trained = -1  # the last iteration in the weights
        self.signals = StopSignals()
        self.writers: list[Any] = []  # of the main process
        super().__init__(scaled(cfg, comm.get_world_size()))
        model: Any = getattr(self.model, "module", self.model)  # of several processes
        self.settings = {**training_settings(self.cfg, comm.get_world_size()), **towers(model)}
        if self.self_training is not None:
            self.settings["teacher"] = self.self_training.fingerprint()
            self.note_of_start(self.self_training.notes)
        check_start(self.cfg, model)
        batch, lr = self.cfg.SOLVER.IMS_PER_BATCH, self.cfg.SOLVER.BASE_LR
        logger.info(f"effective batch {batch} images, base learning rate {lr}, {cfg.MODEL.DEVICE}")
        trained = [p.numel() for p in model.parameters() if p.requires_grad]
        logger.info(f"{sum(trained):,} trained parameters")

    def build_train_loader(self, cfg: CfgNode) -> DataLoader | SkippedFiles | SelfTraining:
        self.images = build_train_loader(cfg, start_iter=self.first_iter)
        self.self_training = (
            build_self_training(cfg, self.images) if cfg.SELF_TRAINING.ENABLED else None
        )
        return self.self_training or self.images

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
        return found + telling_hooks(self.images)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on after the checkpoint. Raises a UserError where it is of another configuration."""
        self.checkpointer.resume(checkpoint)
        self.start_iter = self.trained + 1

    def note_of_start(self, trained: Mapping[str, Any]) -> None:
        """Weights keep a looser protocol than this training's, however they go on."""
        vocabulary = get_vocabulary(self.cfg.DATASETS.TRAIN[0])
        protocol = protocol_of_start(vocabulary, self.settings[PROTOCOL], trained)
        self.settings[PROTOCOL] = protocol_with_prompts(self.model, vocabulary, protocol)

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
        datasets = self.cfg.DATASETS.TEST
        self.best = None
        if metric:
            self.best = BestCheckpoint(metric, datasets, self.checkpointer, resumed)
        with self.signals:
            try:
                return super().train()
            except Stopped as stopped:
                logger.warning(
                    f"stopped by {stopped.signal_name} after iteration {self.trained}: --resume "
                    f"goes on from the checkpoint {self.checkpointer.get_checkpoint_file()}"
                )
                raise

    def before_step(self) -> None:
        super().before_step()
        seed_iteration(self.cfg.SEED, self.iter, comm.get_rank())

    @lost_processes_named()
    def run_step(self) -> None:
        # Detectron2 frees the gradients after the forward pass, which takes more memory
        self._trainer.optimizer.zero_grad()
        try:
            super().run_step()
        except FloatingPointError as error:
            raise UserError(f"training diverged at iteration {self.iter}: {error}") from error

    @lost_processes_named()
    def after_step(self) -> None:
        self.trained = self.iter
        super().after_step()

    def save_before_stop(self) -> None:
        """Write a checkpoint, if neither the last one nor a periodic one is of this iteration."""
        done = self.trained + 1
        if (
            done > self.start_iter
            and done % self.cfg.SOLVER.CHECKPOINT_PERIOD
            and done < self.max_iter
        ):
            self.checkpointer.save(f"model_{self.trained:07d}", iteration=self.trained)

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module, protocol: str, seed: int | None) -> Any:
        """Evaluate on DATASETS.TEST; `protocol` and `seed` are those of the weights."""
        evaluators = []
        for name in cfg.DATASETS.TEST:
            vocabulary = get_vocabulary(name, trained_on=cfg.DATASETS.TRAIN)
            its_protocol = protocol_with_prompts(model, vocabulary, protocol)
            evaluators.append(build_evaluators(cfg, name, its_protocol, seed))
        return super().test(cfg, with_test_time_augmentation(cfg, model), evaluators)

    def _evaluate(self) -> Any:
        try:
            with self.signals.at_once():
                results = self.test(self.cfg, self.model, self.settings[PROTOCOL], self.cfg.SEED)
        except Stopped:
            self.save_before_stop()
            logger.warning(
                f"the evaluation after iteration {self.trained} is left: --resume begins with it"
            )
            raise
        if self.best is not None and comm.is_main_process():
            self.best.update(results, self.trained)
        return results

    def state_dict(self) -> dict[str, Any]:
        inner = self._trainer.state_dict()  # Detectron2 0.6 leaves it out: Adam's moments
        ours = {"_trainer": inner, "settings": self.settings, "iteration": self.trained}
        return {**super().state_dict(), **ours}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Iteration, moments and the scaler of AMP; rates and schedule are those of cfg."""
        inner = state_dict["_trainer"]
        self.iter = self.trained = state_dict["iteration"]
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


def _stop_if_asked(trainer: Trainer) -> None:
    """All processes stop after the same iteration, when the checkpoint is written."""
    signals = [number for number in comm.all_gather(trainer.signals.number) if number is not None]
    if signals:
        trainer.save_before_stop()
        comm.synchronize()
        raise Stopped(signals[0])


def protocol_of_start(vocabulary: Vocabulary, own: str, trained: Mapping[str, Any]) -> str:
    """That of a training with the protocol `own` from weights with the notes `trained`."""
    noted = trained.get(CLASSES)
    classes = [name for name in noted if isinstance(name, str)] if isinstance(noted, list) else []
    leaked = vocabulary.unseen_spellings(classes)
    if not leaked:
        return loosest(own, noted_protocol(trained))
    logger.warning(
        "the weights that the training starts from were trained on classes that count as unseen "
        f"here, so scores of unseen classes are no zero-shot scores: {', '.join(sorted(leaked))}"
    )
    return LEAK


def protocol_with_prompts(model: nn.Module, vocabulary: Vocabulary, protocol: str) -> str:
    """That of weights with `protocol` whose prompts may have learned from unseen classes."""
    return loosest(protocol, LEAK) if warn_of_leaks(model, vocabulary) else protocol
