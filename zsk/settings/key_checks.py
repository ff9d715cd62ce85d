"""A key that would do nothing, or has a value that it cannot have, is refused in one sentence."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from detectron2.config import CfgNode

from zsk.config import default_config
from zsk.errors import UserError
from zsk.settings.config_file import flat
from zsk.settings.key_limits import CONDITIONS, FIXED, PIXEL_HEADS
from zsk.settings.key_table import RULES

DUMPED_SHARE = 0.5  # of all keys: a file with more was written by a training (config.yaml)


def all_keys(cfg: CfgNode) -> dict[str, Any]:
    """Full name -> value, with lists for tuples, as a file has them."""
    return {".".join(key): _lists(value) for key, value in flat(cfg)}


def _lists(value: Any) -> Any:
    return [_lists(entry) for entry in value] if isinstance(value, list | tuple) else value


def check_values(cfg: CfgNode) -> None:
    """Raise a UserError for a fixed key that has not its default, or a value out of range."""
    defaults = _default_values()
    for key, value in all_keys(cfg).items():
        rule = RULES.get(key)
        if rule is not None:
            if not rule.allows(value):
                raise UserError(f"{key} is {value!r}, but has to be {rule.wanted}")
        elif value != defaults[key]:
            reason = FIXED[max((name for name in FIXED if key.startswith(name)), key=len)]
            raise UserError(f"{key} is {value!r}, but it {reason}; take it out")


def check_read(cfg: CfgNode, given: Iterable[str]) -> None:
    """Raise a UserError for a key of `given` that another key keeps from being read.

    One with the default value, or beside an ENABLED False in `given`, is let pass.
    """
    given = set(given)
    values, defaults = all_keys(cfg), _default_values()
    for condition in CONDITIONS:
        switch = condition.switch
        off = switch in given and switch.endswith(".ENABLED") and not values[switch]
        concerned = condition.head in ("", cfg.MODEL.SEM_SEG_HEAD.NAME)
        if off or not concerned or condition.holds(values[switch]):
            continue
        for key in sorted(given):
            if key.startswith(condition.keys) and values[key] != defaults[key]:
                raise UserError(
                    f"{key} is {values[key]!r}, but nothing reads it unless "
                    f"{condition.words(values[switch])}: change that, or take {key} out"
                )


def check_together(cfg: CfgNode) -> None:
    """Raise a UserError for two keys that contradict each other, before anything is built."""
    solver, sizes = cfg.SOLVER, cfg.INPUT.MIN_SIZE_TRAIN
    if solver.REFERENCE_WORLD_SIZE and solver.IMS_PER_BATCH % solver.REFERENCE_WORLD_SIZE:
        raise UserError(
            f"SOLVER.IMS_PER_BATCH is {solver.IMS_PER_BATCH}, but has to be a multiple of "
            f"SOLVER.REFERENCE_WORLD_SIZE {solver.REFERENCE_WORLD_SIZE}"
        )
    if solver.LR_SCHEDULER_NAME == "WarmupMultiStepLR" and solver.MAX_ITER in solver.STEPS:
        raise UserError(
            f"SOLVER.STEPS {list(solver.STEPS)} has SOLVER.MAX_ITER {solver.MAX_ITER}, after which "
            "no iteration comes: take it out"
        )
    if cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING == "range" and (len(sizes) != 2 or sizes[0] > sizes[1]):
        raise UserError(
            f"INPUT.MIN_SIZE_TRAIN is {list(sizes)}, but INPUT.MIN_SIZE_TRAIN_SAMPLING range takes "
            "two, the smallest and the largest"
        )
    head, architecture = cfg.MODEL.SEM_SEG_HEAD.NAME, cfg.MODEL.META_ARCHITECTURE
    if architecture == "ZSKNet" and head in PIXEL_HEADS.split():
        raise UserError(
            f"MODEL.SEM_SEG_HEAD.NAME {head} has no masks, which MODEL.META_ARCHITECTURE ZSKNet "
            "takes: choose PerPixelNet, or a head of masks (DynamicKernelHead, ZSMaskFormerHead)"
        )
    clip, backbone = cfg.MODEL.CLIP, cfg.MODEL.BACKBONE.NAME
    if clip.REGION_MODE == "backbone" and backbone != "build_clip_backbone":
        raise UserError(
            f"MODEL.CLIP.REGION_MODE is backbone, but MODEL.BACKBONE.NAME {backbone} is not CLIP's "
            "image tower: choose build_clip_backbone, or the mode one_pass"
        )
    if clip.REGION_MODE == "backbone" and cfg.TEST.VOTES_AT == "photo":
        raise UserError(
            "MODEL.CLIP.REGION_MODE is backbone, which reads masks at their own size, but "
            "TEST.VOTES_AT photo enlarges them first: choose masks or result"
        )
    hidden, dropout = cfg.MODEL.SYNTHESIS.HIDDEN_DIMS, cfg.MODEL.SYNTHESIS.DROPOUT
    if len(hidden) != len(dropout):
        raise UserError(
            f"MODEL.SYNTHESIS.DROPOUT is {list(dropout)}, but MODEL.SYNTHESIS.HIDDEN_DIMS is "
            f"{list(hidden)}: give one dropout for each hidden layer"
        )
    training = cfg.SELF_TRAINING
    wanted = {"share": "a share, at most 1.0", "rank": "a whole number of classes, such as 10.0"}
    fits = {"share": training.AMOUNT <= 1, "rank": training.AMOUNT == int(training.AMOUNT)}
    if not fits.get(training.FILTER, True):
        raise UserError(
            f"SELF_TRAINING.AMOUNT is {training.AMOUNT}, but SELF_TRAINING.FILTER "
            f"{training.FILTER} takes {wanted[training.FILTER]}"
        )
    if training.ENABLED and cfg.DATASETS.LEAK_UNSEEN_LAYOUT:
        raise UserError(
            "SELF_TRAINING.ENABLED and DATASETS.LEAK_UNSEEN_LAYOUT are True, but a teacher labels "
            "pixels without a label, and the leak has their true ones: set one of them to False"
        )
    if cfg.TEST.CELL_STRIDE and cfg.TEST.AUG.ENABLED:
        raise UserError(
            f"TEST.CELL_STRIDE is {cfg.TEST.CELL_STRIDE} and TEST.AUG.ENABLED is True, but views "
            "of several sizes have no cells in common: set TEST.CELL_STRIDE to 0 or "
            "TEST.AUG.ENABLED to False"
        )


def check_training_size(cfg: CfgNode, stride: int) -> None:
    """Raise a UserError for training images that a network of this stride makes one cell of."""
    options = cfg.INPUT
    sides = [(min(options.MIN_SIZE_TRAIN), "MIN_SIZE_TRAIN")]
    sides += [(options.MAX_SIZE_TRAIN, "MAX_SIZE_TRAIN")]
    if options.CROP.ENABLED:
        sides += [(min(options.CROP.SIZE), "CROP.SIZE")]
    side, key = min(sides)
    padded = -(-side // max(1, options.SIZE_DIVISIBILITY)) * options.SIZE_DIVISIBILITY
    if max(side, padded) <= stride:
        raise UserError(
            f"INPUT.{key} allows training images of {side} pixels, but the network has a stride of "
            f"{stride}: give at least {stride + 1}"
        )


def was_dumped(given: Iterable[str]) -> bool:
    """Whether a file with these keys is the whole configuration that a training wrote."""
    return len(set(given)) > DUMPED_SHARE * len(_default_values())


@functools.cache
def _default_values() -> dict[str, Any]:
    return all_keys(default_config())
