"""Settings that decide what a network computes, but not the shapes of its weights.

Weights that were trained with another value load without an error and score wrong, so a checkpoint
notes the values of its training.
"""

import logging
from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode

from zsk.data.vocabularies import get_vocabulary
from zsk.errors import UserError
from zsk.key_checks import all_keys
from zsk.load import default_vocabulary

logger = logging.getLogger(__name__)

NETWORK_KEYS = """
MODEL.PIXEL_MEAN MODEL.PIXEL_STD
MODEL.RESNETS.STRIDE_IN_1X1 MODEL.RESNETS.RES4_DILATION MODEL.RESNETS.RES5_DILATION
MODEL.RESNETS.RES5_MULTI_GRID MODEL.TIMM.NAME MODEL.TIMM.OUTPUT_STRIDE
MODEL.SEM_SEG_HEAD.IN_FEATURES MODEL.SEM_SEG_HEAD.FINE_FEATURE MODEL.SEM_SEG_HEAD.CLASS_FEATURES
MODEL.SEM_SEG_HEAD.ASPP_DILATIONS MODEL.SEM_SEG_HEAD.TEMPERATURE
MODEL.KERNELS.NUM_HEADS MODEL.KERNELS.GATHER_ACTIVATION MODEL.KERNELS.GATHER_REDUCTION
MODEL.KERNELS.MASK_UPDATE MODEL.KERNELS.INIT MODEL.KERNELS.CLUSTER_COUNTS
MODEL.KERNELS.CLUSTER_FEATURES MODEL.KERNELS.CLUSTER_LOGIT MODEL.MASK_FORMER.NUM_HEADS
""".split()
CLASSES = "classes"  # a linear classifier's columns have no names of their own


def network_settings(cfg: CfgNode) -> dict[str, Any]:
    """What a checkpoint notes: the values of NETWORK_KEYS and the classes, all of plain types."""
    classes = list(get_vocabulary(cfg.DATASETS.TRAIN[0]).seen_only().names)
    values = all_keys(cfg)
    return {CLASSES: classes, **{key: values[key] for key in NETWORK_KEYS}}


def check_network_settings(cfg: CfgNode, trained: Mapping[str, Any]) -> None:
    """Compare the configuration with the notes `trained` of its checkpoint MODEL.WEIGHTS.

    Each setting that differs is logged as a warning. One without a note is not compared.

    Raises:
        UserError: the checkpoint's linear classifier has other classes, or another order of them.
    """
    path, values = cfg.MODEL.WEIGHTS, all_keys(cfg)
    for key in NETWORK_KEYS:
        if key in trained and trained[key] != values[key]:
            logger.warning(
                f"weights file {path} was trained with {key} {trained[key]}, but the configuration "
                f"has {values[key]}: the scores will be wrong"
            )
    classes = trained.get(CLASSES, [])
    if classes and cfg.MODEL.SEM_SEG_HEAD.CLASSIFIER == "linear":
        names = list(default_vocabulary(cfg).names)
        # another number of classes is refused by the classifier itself
        if len(classes) == len(names) and classes != names:
            raise UserError(
                f"weights file {path} has a linear classifier of the classes {', '.join(classes)}, "
                f"but the data set has {', '.join(names)}: evaluate it on the classes of its "
                "training"
            )
