"""What a training is checked for before its first iteration, since it would fail hours later."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer

from zsk.data.dataset_mapper import ZeroShotMapper
from zsk.data.vocabularies import get_vocabulary
from zsk.engine.network_settings import check_order
from zsk.errors import UserError
from zsk.evaluation.build import build_evaluators
from zsk.looks.test_time_augmentation import with_test_time_augmentation
from zsk.looks.true_scale import feature_strides
from zsk.settings.key_checks import check_together, check_training_size, check_values

GENERATIVE_HEADS = ("ZS3Head", "CaGNetHead", "JoEmHead")
MOSTLY_UNLABELLED = 0.6  # between COCO-Stuff without unseen classes and VOC without background

logger = logging.getLogger(__name__)


def check_start(cfg: CfgNode, model: Any) -> None:
    """All of the checks below. Raises UserError."""
    if cfg.DATASETS.LEAK_UNSEEN_LAYOUT:
        warn_of_leaked_layout(cfg)
    check_solver(cfg)
    check_training_size(cfg, max(feature_strides(model.backbone).values()))
    warn_of_phases(cfg)
    check_test_names(cfg, model)


def scaled(cfg: CfgNode, processes: int) -> CfgNode:
    """The configuration with SOLVER.REFERENCE_WORLD_SIZE applied, as Detectron2 does.

    Raises:
        UserError: what it gives for so many processes cannot be trained with.
    """
    found = DefaultTrainer.auto_scale_workers(cfg, processes)
    if found is cfg:
        return cfg
    try:
        check_values(found)
        check_together(found)
        if cfg.TEST.EVAL_PERIOD and not found.TEST.EVAL_PERIOD:
            raise UserError(
                f"TEST.EVAL_PERIOD {cfg.TEST.EVAL_PERIOD} becomes 0, which is no evaluation before "
                "the end: give a larger one, or 0"
            )
    except UserError as error:
        raise UserError(
            f"SOLVER.REFERENCE_WORLD_SIZE {cfg.SOLVER.REFERENCE_WORLD_SIZE} with {processes} "
            f"processes: {error}"
        ) from error
    return found


def check_solver(cfg: CfgNode) -> None:
    """Raise a UserError for keys that would do nothing, or not what they do for others."""
    solver = cfg.SOLVER
    if solver.WARMUP_ITERS >= solver.MAX_ITER:
        logger.warning(
            f"the learning rate never reaches SOLVER.BASE_LR: SOLVER.WARMUP_ITERS is "
            f"{solver.WARMUP_ITERS} and SOLVER.MAX_ITER {solver.MAX_ITER}"
        )
    if solver.WARMUP_ITERS and solver.WARMUP_FACTOR == 1.0:
        raise UserError(
            f"SOLVER.WARMUP_ITERS is {solver.WARMUP_ITERS}, but SOLVER.WARMUP_FACTOR 1.0 begins "
            "with the full rate: give a factor such as 0.001, or 0 iterations"
        )
    if solver.REFERENCE_WORLD_SIZE and cfg.MODEL.SEM_SEG_HEAD.NAME in GENERATIVE_HEADS:
        raise UserError(
            f"SOLVER.REFERENCE_WORLD_SIZE is {solver.REFERENCE_WORLD_SIZE}, but it does not scale "
            "the phases and rates of MODEL.SYNTHESIS: set it to 0, and give SOLVER's own keys"
        )


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

    Its names have no text embedding or no column in the head, or keys of TEST have no meaning for
    it.
    """
    head: Any = getattr(model, "sem_seg_head", None)
    for name in cfg.DATASETS.TEST:
        build_evaluators(cfg, name)
        if cfg.MODEL.SEM_SEG_HEAD.CLASSIFIER == "linear":
            classes = get_vocabulary(cfg.DATASETS.TRAIN[0]).seen_only().names
            check_order(cfg, "the model", classes, name)
        vocabulary = ZeroShotMapper(cfg, is_train=False, dataset_name=name).vocabulary
        text = model.text_classifier(vocabulary.one_class_per_word())
        classes_here = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
        if cfg.MODEL.SEM_SEG_HEAD.CLASSIFIER == "linear" and len(text) != classes_here:
            raise UserError(
                f"the linear classifier has {classes_here} classes (MODEL.SEM_SEG_HEAD.NUM_CLASSES)"
                f", but {name} {len(text)}: take {name} out of DATASETS.TEST, or set "
                "TEST.VOCABULARY seen where these are its seen classes"
            )
        if getattr(head, "names_known_classes", False):
            head.classes.columns(text)
    with_test_time_augmentation(cfg, model)
