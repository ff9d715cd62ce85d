"""What the configuration says about evaluation that concerns the photos and the names."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode

from zsk.data.augmentations import eval_augmentations
from zsk.errors import UserError


def eval_resize(cfg: CfgNode) -> list[Any]:
    """How a photo is resized before the model sees it: by INPUT.MIN_SIZE_TEST and MAX_SIZE_TEST.

    Not at all under TEST.AUG.ENABLED: `zsk.test_time_augmentation` makes its views of the photo.
    """
    if cfg.TEST.AUG.ENABLED:
        return []
    return eval_augmentations(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)


def seen_names_only(cfg: CfgNode) -> bool:
    """Whether TEST.VOCABULARY lets only the seen names compete.

    Raises:
        UserError: it is something else than joint or seen.
    """
    if cfg.TEST.VOCABULARY not in ("joint", "seen"):
        raise UserError(f"TEST.VOCABULARY is {cfg.TEST.VOCABULARY!r}: choose 'joint' or 'seen'")
    return cfg.TEST.VOCABULARY == "seen"
