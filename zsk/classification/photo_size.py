"""At which size CLIP sees whole photos, and at which size a fine-tuned one learned to."""

from __future__ import annotations

import json
import logging

from detectron2.config import CfgNode

from zsk.files import user_path

REPORT_SUFFIX = ".json"  # of the report that a training of a CLIP writes beside its weights
TOLERANCE = 0.1  # of the size, a choice of this project; docs/measurements.md has what more costs

logger = logging.getLogger(__name__)


def photo_sizes(cfg: CfgNode, input_size: int) -> list[int]:
    """Shorter sides in pixels of photos of testing, as CLIP sees them whole.

    Args:
        input_size: of CLIP's crops, which is that of whole photos with ONE_PASS_SIZE 0.

    Returns:
        one, or with TEST.AUG one for each view; none for photos that the backbone sees as large as
        they are.
    """
    clip = cfg.MODEL.CLIP
    if clip.REGION_MODE != "backbone":
        return [clip.ONE_PASS_SIZE or input_size]
    views = cfg.TEST.AUG.MIN_SIZES if cfg.TEST.AUG.ENABLED else [cfg.INPUT.MIN_SIZE_TEST]
    return [round(size * clip.BACKBONE_SCALE) for size in views if size]


def warn_of_other_size(cfg: CfgNode, input_size: int) -> None:
    """Warn where a CLIP of tools/finetune_clip.py sees photos at another size than it learned at.

    The report beside the weights notes that size; weights without a report are not checked.
    """
    if cfg.MODEL.ENSEMBLE.MODE == "head" or cfg.MODEL.CLIP.REGION_MODE == "crop":
        return
    name = cfg.MODEL.CLIP.NAME
    try:
        file = user_path(name.removeprefix("openai:")).with_suffix(REPORT_SUFFIX)
        learned = float(json.loads(file.read_text())["one_pass_size"])
    except (OSError, ValueError, LookupError, TypeError):
        return
    for seen in photo_sizes(cfg, input_size):
        if abs(seen - learned) > TOLERANCE * learned:
            logger.warning(
                f"MODEL.CLIP.NAME {name} learned on photos whose shorter side has {learned:.0f} "
                f"pixels, but sees them with {seen} ({size_keys(cfg)}), where its names are worse: "
                f"fine-tune it with --size {seen}, or change the size"
            )


def size_keys(cfg: CfgNode) -> str:
    """The keys of which `photo_sizes` are made."""
    if cfg.MODEL.CLIP.REGION_MODE != "backbone":
        return "MODEL.CLIP.ONE_PASS_SIZE"
    size = "TEST.AUG.MIN_SIZES" if cfg.TEST.AUG.ENABLED else "INPUT.MIN_SIZE_TEST"
    return f"{size} times MODEL.CLIP.BACKBONE_SCALE"
