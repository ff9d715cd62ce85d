"""The trainer of `zsk train`: this project's optimizer, loaders and evaluators in Detectron2's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.projects.deeplab import build_lr_scheduler
from torch import nn
from torch.utils.data import DataLoader

from zsk.classification.text_classifier import warn_of_leaks
from zsk.data.dataset_mapper import ZeroShotMapper
from zsk.data.loader import build_test_loader, build_train_loader
from zsk.data.samples import SkippedFiles
from zsk.data.vocabularies import get_vocabulary
from zsk.engine.hooks import telling_hooks
from zsk.engine.self_training import SelfTraining, build_self_training
from zsk.engine.solver import build_optimizer
from zsk.engine.trainer import ResumableTrainer
from zsk.errors import UserError
from zsk.evaluation.build import build_evaluators
from zsk.evaluation.labelled import LabelledEvaluator
from zsk.looks.test_time_augmentation import with_test_time_augmentation
from zsk.looks.true_scale import feature_strides
from zsk.protocol import INDUCTIVE
from zsk.settings.key_checks import check_training_size

MOSTLY_UNLABELLED = 0.6  # between COCO-Stuff without unseen classes and VOC without background

logger = logging.getLogger(__name__)


class Trainer(ResumableTrainer):
    """Detectron2's trainer with our optimizer, loaders and evaluator."""

    def __init__(self, cfg: CfgNode, start_iter: int = 0):
        self.first_iter = start_iter  # read by build_train_loader, which the base class calls
        super().__init__(cfg)
        if self.self_training is not None:
            self.settings["teacher"] = self.self_training.fingerprint()
            self.note_of_start(self.self_training.notes)
        if cfg.DATASETS.LEAK_UNSEEN_LAYOUT:
            warn_of_leaked_layout(cfg)
        model: Any = getattr(self.model, "module", self.model)  # of several processes
        check_training_size(cfg, max(feature_strides(model.backbone).values()))
        warn_of_phases(cfg)
        check_test_names(cfg, model)
        batch, lr = self.cfg.SOLVER.IMS_PER_BATCH, self.cfg.SOLVER.BASE_LR
        logger.info(f"effective batch {batch} images, base learning rate {lr}, {cfg.MODEL.DEVICE}")
        self.register_hooks(telling_hooks(self.images))
        trained = [p.numel() for p in self._trainer.model.parameters() if p.requires_grad]
        logger.info(f"{sum(trained):,} trained parameters")

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> Any:
        return build_lr_scheduler(cfg, optimizer)

    def build_train_loader(self, cfg: CfgNode) -> DataLoader | SkippedFiles | SelfTraining:
        self.images = build_train_loader(cfg, start_iter=self.first_iter)
        self.self_training = (
            build_self_training(cfg, self.images) if cfg.SELF_TRAINING.ENABLED else None
        )
        return self.self_training or self.images

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> DataLoader:
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def test(
        cls, cfg: CfgNode, model: nn.Module, evaluators: Any = None, *, protocol: str = INDUCTIVE
    ) -> Any:
        """Evaluate on DATASETS.TEST; `protocol` is that of the weights."""
        for name in cfg.DATASETS.TEST:
            warn_of_leaks(model, get_vocabulary(name, trained_on=cfg.DATASETS.TRAIN))
        model = with_test_time_augmentation(cfg, model)
        if evaluators is None:
            evaluators = [build_evaluators(cfg, name, protocol) for name in cfg.DATASETS.TEST]
        return super().test(cfg, model, evaluators)

    def run_step(self) -> None:
        # Detectron2 frees the gradients after the forward pass, which takes more memory
        self._trainer.optimizer.zero_grad()
        try:
            super().run_step()
        except FloatingPointError as error:
            raise UserError(f"training diverged at iteration {self.iter}: {error}") from error


def warn_of_leaked_layout(cfg: CfgNode) -> None:
    """Say what DATASETS.LEAK_UNSEEN_LAYOUT does. Raises a UserError where every class is seen."""
    if all(get_vocabulary(cfg.DATASETS.TRAIN[0]).seen):
        raise UserError(
            "DATASETS.LEAK_UNSEEN_LAYOUT is True, but every class of DATASETS.TRAIN is seen: there "
            "is nothing to leak, so switch it off"
        )
    logger.warning(
        "THIS IS A LEAK: DATASETS.LEAK_UNSEEN_LAYOUT is True, so the training uses the true masks "
        "of unseen classes, and its results are no zero-shot results. It needs labels of all "
        "classes: those that datasets/prepare_*.py write to *_seen folders hold none of unseen "
        "classes, so that DATASETS.TRAIN has to be a data set of a split file whose labels are "
        "those without _seen"
    )


def warn_of_unlabelled(cfg: CfgNode, shares: Mapping[str, float]) -> None:
    """Warn of masks that nothing keeps off an unlabelled background.

    Args:
        shares: training set → share of its pixels without a label.
    """
    if cfg.MODEL.META_ARCHITECTURE != "ZSKNet" or not cfg.MODEL.CRITERION.IGNORE_AWARE:
        return
    for name, share in shares.items():
        if share > MOSTLY_UNLABELLED:
            logger.warning(
                f"about {share:.0%} of the pixels of {name} have no label and take no part in the "
                "losses of masks, which may grow over them: if they are background, set "
                "MODEL.CRITERION.IGNORE_AWARE False"
            )


def warn_of_phases(cfg: CfgNode) -> None:
    """Warn of a head with generated features in whose training a phase is missing."""
    name, synthesis, end = cfg.MODEL.SEM_SEG_HEAD.NAME, cfg.MODEL.SYNTHESIS, cfg.SOLVER.MAX_ITER
    # a teacher's labels are of unseen classes
    if name not in ("ZS3Head", "CaGNetHead") or cfg.SELF_TRAINING.ENABLED:
        return
    if synthesis.START == 0:
        logger.warning(
            "MODEL.SYNTHESIS.START is 0: the features stay as MODEL.WEIGHTS has them, which has to "
            "be a trained checkpoint"
        )
    # CaGNet's first turn is of photos
    first = synthesis.START + (synthesis.PERIOD if name == "CaGNetHead" else 0)
    if first >= end:
        logger.warning(
            f"generated features train from iteration {first} on (MODEL.SYNTHESIS), but the "
            f"training ends after SOLVER.MAX_ITER {end}, before an unseen class is learned: give a "
            "smaller MODEL.SYNTHESIS.START"
        )


def check_test_names(cfg: CfgNode, model: Any) -> None:
    """Raise UserError now, not after hours, for DATASETS.TEST that cannot be evaluated.

    The head has no columns for its names, or TEST.VOCABULARY seen has no meaning for it.
    """
    for name in cfg.DATASETS.TEST if cfg.TEST.VOCABULARY == "seen" else ():
        LabelledEvaluator(name, cfg.DATASETS.TRAIN, seen_only=True)
    head: Any = getattr(model, "sem_seg_head", None)
    if not getattr(head, "names_known_classes", False):
        return
    for name in cfg.DATASETS.TEST:
        vocabulary = ZeroShotMapper(cfg, is_train=False, dataset_name=name).vocabulary
        head.classes.columns(model.text_classifier(vocabulary.one_class_per_word()))
