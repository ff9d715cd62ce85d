"""Which configuration keys work, and with what values.

A key of Detectron2 without a rule is fixed: nothing would read another value (`key_limits.py`).
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from detectron2.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY, SEM_SEG_HEADS_REGISTRY
from fvcore.common.registry import Registry

_COMPARE = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


class Rule(NamedTuple):
    """Whether a value is allowed, and what it has to be, in words."""

    holds: Callable[[Any], object]
    wanted: str

    def allows(self, value: Any) -> bool:
        try:
            return bool(self.holds(value))
        except (TypeError, OverflowError):  # a value of another type, or no float holds it
            return False


def number(*bounds: str, kinds: tuple[type, ...] = (int, float)) -> Rule:
    """A finite number within bounds such as ">= 0"."""
    limits = [(_COMPARE[sign], float(limit)) for sign, limit in map(str.split, bounds)]

    def holds(value: Any) -> bool:
        finite = type(value) in kinds and math.isfinite(value)  # not bool, which is a kind of int
        return finite and all(compare(value, limit) for compare, limit in limits)

    what = "a whole number" if kinds == (int,) else "a finite number"
    return Rule(holds, " ".join([what, " and ".join(bounds)]).strip())


def whole(*bounds: str) -> Rule:
    return number(*bounds, kinds=(int,))


def one_of(*choices: Any) -> Rule:
    return Rule(lambda value: value in choices, f"one of {', '.join(map(repr, choices))}")


def each(rule: Rule, least: int = 0, most: float = math.inf) -> Rule:
    """A list of `least` to `most` entries that keep the rule."""

    def holds(value: Any) -> bool:
        fits = isinstance(value, list | tuple) and least <= len(value) <= most
        return fits and all(map(rule.holds, value))

    count = f"{least} or more" if most == math.inf else str(most)
    return Rule(holds, f"a list of {count} entries, each {rule.wanted}")


ANY = Rule(lambda value: value is not None, "given")
WORD = Rule(lambda value: isinstance(value, str) and value != "", "a word")
COUNT, NOT_NEGATIVE, POSITIVE = whole(">= 1"), whole(">= 0"), number("> 0")
FROM_0, SHARE, BELOW_1 = number(">= 0"), number(">= 0", "<= 1"), number(">= 0", "< 1")
_OR_NONE = Rule(lambda value: value is None or FROM_0.holds(value), "None or a number >= 0")
NORM = one_of("", "BN", "SyncBN", "FrozenBN", "GN", "nnSyncBN", "naiveSyncBN")
ASCENDING = Rule(
    lambda value: all(map(COUNT.allows, value)) and sorted(set(value)) == list(value),
    "an ascending list of iterations",
)
TILES = Rule(  # two cells of the coarsest features, at least
    lambda side: NOT_NEGATIVE.holds(side) and not 0 < side < 64, "0, or a whole number >= 64"
)


def _model(registry: Registry, known: str) -> Rule:
    """A registered name, but none of Detectron2's own models, which take other inputs."""
    return Rule(
        lambda name: name in registry
        and not registry.get(name).__module__.startswith("detectron2."),
        f"{known} or another that was registered before",
    )


BACKBONE = Rule(
    lambda name: name in BACKBONE_REGISTRY and "fpn" not in name,
    "a registered backbone without a feature pyramid, which the heads have",
)
_HEADS = (
    "DynamicKernelHead, ZSMaskFormerHead, TextFCNHead, SPNetHead, ZS3Head, CaGNetHead, JoEmHead"
)
_SECTIONS: dict[str, list[tuple[Rule, str]]] = {
    "": [(WORD, "OUTPUT_DIR"), (whole("<= 2147483647"), "SEED"), (ANY, "CUDNN_BENCHMARK")],
    "MODEL.": [
        (_model(META_ARCH_REGISTRY, "ZSKNet, PerPixelNet"), "META_ARCHITECTURE"),
        (BACKBONE, "BACKBONE.NAME"),
        (Rule(re.compile(r"cpu|(cuda|mps|xpu)(:\d+)?").fullmatch, "cuda, cuda:0 or cpu"), "DEVICE"),
        (ANY, "WEIGHTS"),
        (SHARE, "WEIGHTS_MIN_SHARE"),
        (each(number(), 3, 3), "PIXEL_MEAN"),
        (each(POSITIVE, 3, 3), "PIXEL_STD"),
        (one_of("RGB", "BGR"), "PIXEL_ORDER"),
        (one_of("float32", "bfloat16", "float16"), "TEST_DTYPE"),
        (whole(">= 0", "<= 5"), "BACKBONE.FREEZE_AT"),
    ],
    "MODEL.RESNETS.": [
        (one_of(18, 34, 50, 101, 152), "DEPTH"),
        (each(WORD, 1), "OUT_FEATURES"),
        (COUNT, "NUM_GROUPS WIDTH_PER_GROUP RES2_OUT_CHANNELS STEM_OUT_CHANNELS"),
        (NORM, "NORM"),
        (ANY, "STRIDE_IN_1X1"),
        (one_of(1, 2), "RES4_DILATION"),
        (one_of(1, 2, 4), "RES5_DILATION"),
        (each(COUNT, 3, 3), "RES5_MULTI_GRID"),
        (one_of("basic", "deeplab"), "STEM_TYPE"),
    ],
    "MODEL.TIMM.": [
        (WORD, "NAME"),
        (ANY, "WEIGHTS"),
        (one_of(8, 16, 32), "OUTPUT_STRIDE"),
        (one_of("none", "norm", "all"), "FREEZE"),
    ],
    "MODEL.SEM_SEG_HEAD.": [
        (_model(SEM_SEG_HEADS_REGISTRY, _HEADS), "NAME"),
        (each(WORD), "IN_FEATURES CLASS_FEATURES"),
        (ANY, "FINE_FEATURE"),
        (one_of("text", "linear", "none"), "CLASSIFIER"),
        (COUNT, "NUM_CLASSES CONVS_DIM ASPP_CHANNELS"),
        (POSITIVE, "TEMPERATURE"),
        (BELOW_1, "CLASS_DROPOUT"),
        (each(COUNT), "CLASS_HIDDEN_DIMS"),
        (NORM, "NORM"),
        (each(COUNT, 1), "ASPP_DILATIONS"),
    ],
    "MODEL.KERNELS.": [
        (COUNT, "NUM_KERNELS DIM NUM_HEADS DIM_FEEDFORWARD GATE_GROUPS"),
        (NOT_NEGATIVE, "NUM_STAGES"),
        (one_of("sigmoid", "softmax"), "GATHER_ACTIVATION"),
        (one_of("sum", "mean"), "GATHER_REDUCTION"),
        (ANY, "FEATURE_TRANSFORM INIT_BIAS"),
        (one_of("learned", "clusters"), "INIT"),
        (each(COUNT, 1), "CLUSTER_COUNTS"),
        (each(WORD, 1), "CLUSTER_FEATURES"),
        (POSITIVE, "CLUSTER_LOGIT"),
        (one_of("predict", "add"), "MASK_UPDATE"),
    ],
    "MODEL.MASK_FORMER.": [
        (COUNT, "NUM_QUERIES DIM NUM_LAYERS NUM_HEADS DIM_FEEDFORWARD CONV_DIM MASK_DIM"),
        (BELOW_1, "DROPOUT"),
    ],
    "MODEL.CRITERION.": [
        (FROM_0, "CLASS_WEIGHT FOCAL_WEIGHT DICE_WEIGHT NO_OBJECT_WEIGHT"),
        (SHARE, "REGION_PURITY"),
        (ANY, "IGNORE_AWARE"),
    ],
    "MODEL.CLIP.": [
        (WORD, "NAME"),
        (FROM_0, "TEMPERATURE"),
        (WORD, "PROMPT"),
        (ANY, "PROMPT_WEIGHTS REGION_PROMPT REGION_PROMPT_WEIGHTS CROP_ANTIALIAS"),
        (one_of("crop", "one_pass", "backbone"), "REGION_MODE"),
        (POSITIVE, "BACKBONE_SCALE"),
        (NOT_NEGATIVE, "ONE_PASS_SIZE"),
        (number("> 0", "< 1"), "MASK_THRESHOLD"),
        (each(number("> 0", "< 1")), "FURTHER_THRESHOLDS"),
    ],
    "MODEL.SYNTHESIS.": [
        (NOT_NEGATIVE, "START"),
        (COUNT, "PERIOD SAMPLES CONTEXT_DIM"),
        (POSITIVE, "GENERATOR_LR CLASSIFIER_LR UNSEEN_FACTOR"),
        (FROM_0, "GENERATED_WEIGHT"),
        (each(COUNT, 1), "HIDDEN_DIMS"),
        (each(BELOW_1, 1), "DROPOUT"),
        (ANY, "GRAPH POSITION"),
    ],
    "MODEL.PER_PIXEL.": [
        (one_of("value", "qq_kk"), "ATTENTION"),
        (each(one_of(0.25, 0.5, 0.75, 1.0), 1), "SCALES"),
    ],
    "MODEL.ENSEMBLE.": [
        (one_of("ensemble", "head", "clip"), "MODE"),
        (SHARE, "LAMBDA"),
        (FROM_0, "SEEN_PENALTY MASK_SOFTMAX"),
        (one_of("logits", "probabilities", "distances"), "SEEN_PENALTY_ON"),
        (one_of("head", "one"), "EMPTY"),
    ],
    "SELF_TRAINING.": [
        (ANY, "ENABLED"),
        (one_of("unseen", "all"), "CANDIDATES"),
        (one_of("none", "share", "rank", "agreement"), "FILTER"),
        (POSITIVE, "AMOUNT"),
        (each(number(">= 0.25", "<= 4"), 1), "VIEW_SCALES"),
        (FROM_0, "ANNEAL"),
    ],
    "DATASETS.": [
        (each(WORD), "TRAIN TEST"),
        (NOT_NEGATIVE, "TRAIN_IMAGES"),
        (ANY, "LEAK_UNSEEN_LAYOUT PROMPT_NAMES SPLIT_FILE"),
    ],
    "DATALOADER.": [(NOT_NEGATIVE, "NUM_WORKERS"), (BELOW_1, "SKIP_UNREADABLE")],
    "INPUT.": [
        (each(COUNT, 1), "MIN_SIZE_TRAIN"),
        (one_of("choice", "range"), "MIN_SIZE_TRAIN_SAMPLING"),
        (COUNT, "MAX_SIZE_TRAIN MAX_SIZE_TEST SIDE_MULTIPLE_TEST"),
        (NOT_NEGATIVE, "MIN_SIZE_TEST SIZE_DIVISIBILITY"),
        (one_of("horizontal", "none"), "RANDOM_FLIP"),
        (each(COUNT, 2, 2), "CROP.SIZE"),
        (number("> 0", "<= 1"), "CROP.SINGLE_CATEGORY_MAX_AREA"),
        (ANY, "CROP.ENABLED COLOR_AUG_SSD"),
        (SHARE, "RECOLOR"),
    ],
    "SOLVER.": [
        (one_of("ADAMW", "SGD"), "OPTIMIZER"),
        (one_of("WarmupPolyLR", "WarmupMultiStepLR", "WarmupCosineLR"), "LR_SCHEDULER_NAME"),
        (COUNT, "MAX_ITER CHECKPOINT_PERIOD IMS_PER_BATCH"),
        (POSITIVE, "BASE_LR GAMMA"),
        (FROM_0, "BACKBONE_MULTIPLIER BIAS_LR_FACTOR WEIGHT_DECAY WEIGHT_DECAY_NORM POLY_LR_POWER"),
        (_OR_NONE, "WEIGHT_DECAY_BIAS"),
        (BELOW_1, "MOMENTUM"),
        (ANY, "NESTEROV CLIP_GRADIENTS.ENABLED AMP.ENABLED"),
        (FROM_0, "CLIP_GRADIENTS.FULL_MODEL_NORM"),
        (ASCENDING, "STEPS"),
        (SHARE, "WARMUP_FACTOR POLY_LR_CONSTANT_ENDING"),
        (NOT_NEGATIVE, "WARMUP_ITERS REFERENCE_WORLD_SIZE"),
        (one_of("linear", "constant"), "WARMUP_METHOD"),
    ],
    "TEST.": [
        (NOT_NEGATIVE, "EVAL_PERIOD SIZE_DIVISIBILITY CELL_STRIDE"),
        (TILES, "TILES"),
        (COUNT, "IMS_PER_BATCH AUG.MAX_SIZE"),
        (one_of("joint", "seen"), "VOCABULARY"),
        (one_of("result", "photo", "masks"), "VOTES_AT"),
        (each(one_of("png", "rle")), "DUMP"),
        (each(NOT_NEGATIVE, 1), "AUG.MIN_SIZES"),
        (ANY, "BEST_METRIC PROPOSAL_RECALL AUG.ENABLED AUG.FLIP"),
    ],
}
RULES = {
    section + key: rule
    for section, lines in _SECTIONS.items()
    for rule, keys in lines
    for key in keys.split()
}
