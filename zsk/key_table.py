"""Which configuration keys work and with what values, which need another key, and which are fixed.

A key of Detectron2 without a rule is fixed: nothing would read another value.
"""

import re

from detectron2.modeling import (
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    SEM_SEG_HEADS_REGISTRY,
)
from fvcore.common.registry import Registry

from zsk.compat import compiled_ops_available

from .key_rules import Condition, Rule, each, number, one_of, whole

ANY = Rule(lambda value: value is not None, "given")
WORD = Rule(lambda value: isinstance(value, str) and value != "", "a word")
COUNT, NOT_NEGATIVE, POSITIVE = whole(">= 1"), whole(">= 0"), number("> 0")
FROM_0, SHARE, BELOW_1 = number(">= 0"), number(">= 0", "<= 1"), number(">= 0", "< 1")
NORM = one_of("", "BN", "SyncBN", "FrozenBN", "GN", "nnSyncBN", "naiveSyncBN", "LN")
NO_DEFORMATION = Rule(
    lambda value: len(value) == 4 and (compiled_ops_available() or not any(value)),
    "[False, False, False, False] where Detectron2 has no compiled operators",
)
ASCENDING = Rule(
    lambda value: all(map(COUNT.allows, value)) and sorted(set(value)) == list(value),
    "an ascending list of iterations",
)
RESULT = Rule(
    lambda value: len(value) == 4 and all(map(number().holds, value[2:])),
    "[task, metric, value, tolerance]",
)


def _model(registry: Registry, known: str) -> Rule:
    """A registered name, but none of Detectron2's own models, which take other inputs."""
    return Rule(
        lambda name: name in registry
        and not registry.get(name).__module__.startswith("detectron2."),
        f"{known} or another that was registered before",
    )


_SECTIONS: dict[str, list[tuple[Rule, str]]] = {
    "": [(WORD, "OUTPUT_DIR"), (whole("<= 2147483647"), "SEED"), (ANY, "CUDNN_BENCHMARK")],
    "MODEL.": [
        (_model(META_ARCH_REGISTRY, "ZSKNet, PerPixelNet"), "META_ARCHITECTURE"),
        (Rule(BACKBONE_REGISTRY.__contains__, "a registered backbone"), "BACKBONE.NAME"),
        (Rule(re.compile(r"cpu|(cuda|mps|xpu)(:\d+)?").fullmatch, "cuda, cuda:0 or cpu"), "DEVICE"),
        (ANY, "WEIGHTS"),
        (SHARE, "WEIGHTS_MIN_SHARE"),
        (each(number(), 3, 3), "PIXEL_MEAN"),
        (each(POSITIVE, 3, 3), "PIXEL_STD"),
        (one_of("float32", "bfloat16", "float16"), "TEST_DTYPE"),
        (whole(">= 0", "<= 5"), "BACKBONE.FREEZE_AT"),
    ],
    "MODEL.FPN.": [
        (each(WORD), "IN_FEATURES"),
        (COUNT, "OUT_CHANNELS"),
        (NORM, "NORM"),
        (one_of("sum", "avg"), "FUSE_TYPE"),
    ],
    "MODEL.RESNETS.": [
        (one_of(18, 34, 50, 101, 152), "DEPTH"),
        (each(WORD, 1), "OUT_FEATURES"),
        (COUNT, "NUM_GROUPS WIDTH_PER_GROUP RES2_OUT_CHANNELS STEM_OUT_CHANNELS DEFORM_NUM_GROUPS"),
        (NORM, "NORM"),
        (ANY, "STRIDE_IN_1X1 DEFORM_MODULATED"),
        (one_of(1, 2), "RES4_DILATION"),
        (one_of(1, 2, 4), "RES5_DILATION"),
        (each(COUNT, 3, 3), "RES5_MULTI_GRID"),
        (one_of("basic", "deeplab"), "STEM_TYPE"),
        (NO_DEFORMATION, "DEFORM_ON_PER_STAGE"),
    ],
    "MODEL.TIMM.": [
        (WORD, "NAME"),
        (ANY, "WEIGHTS"),
        (one_of(8, 16, 32), "OUTPUT_STRIDE"),
        (one_of("none", "norm", "all"), "FREEZE"),
    ],
    "MODEL.SEM_SEG_HEAD.": [
        (
            _model(SEM_SEG_HEADS_REGISTRY, "DynamicKernelHead, ZSMaskFormerHead, TextFCNHead"),
            "NAME",
        ),
        (each(WORD), "IN_FEATURES CLASS_FEATURES"),
        (ANY, "FINE_FEATURE"),
        (one_of("text", "linear", "none"), "CLASSIFIER"),
        (COUNT, "NUM_CLASSES CONVS_DIM ASPP_CHANNELS"),
        (POSITIVE, "TEMPERATURE"),
        (BELOW_1, "CLASS_DROPOUT"),
        (each(COUNT), "CLASS_HIDDEN_DIMS"),
        (NORM, "NORM"),
        (each(COUNT, 3, 3), "ASPP_DILATIONS"),
    ],
    "MODEL.KERNELS.": [
        (COUNT, "NUM_KERNELS DIM NUM_HEADS DIM_FEEDFORWARD"),
        (NOT_NEGATIVE, "NUM_STAGES"),
        (one_of("sigmoid", "softmax"), "GATHER_ACTIVATION"),
        (one_of("sum", "mean"), "GATHER_REDUCTION"),
        (ANY, "FEATURE_TRANSFORM"),
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
        (ANY, "PROMPT_WEIGHTS"),
        (one_of("crop", "one_pass"), "REGION_MODE"),
        (NOT_NEGATIVE, "ONE_PASS_SIZE"),
        (number("> 0", "< 1"), "MASK_THRESHOLD"),
        (each(number("> 0", "< 1")), "FURTHER_THRESHOLDS"),
    ],
    "MODEL.PER_PIXEL.": [(one_of("value", "qq_kk"), "ATTENTION")],
    "MODEL.ENSEMBLE.": [
        (one_of("ensemble", "head", "clip"), "MODE"),
        (SHARE, "LAMBDA"),
        (FROM_0, "SEEN_PENALTY MASK_SOFTMAX"),
    ],
    "DATASETS.": [(each(WORD), "TRAIN TEST"), (ANY, "PROMPT_NAMES SPLIT_FILE")],
    "DATALOADER.": [(NOT_NEGATIVE, "NUM_WORKERS"), (BELOW_1, "SKIP_UNREADABLE")],
    "INPUT.": [
        (each(COUNT, 1), "MIN_SIZE_TRAIN"),
        (one_of("choice", "range"), "MIN_SIZE_TRAIN_SAMPLING"),
        (COUNT, "MAX_SIZE_TRAIN MAX_SIZE_TEST"),
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
        (
            Rule(lambda v: v is None or FROM_0.holds(v), "None or a number >= 0"),
            "WEIGHT_DECAY_BIAS",
        ),
        (BELOW_1, "MOMENTUM"),
        (ANY, "NESTEROV CLIP_GRADIENTS.ENABLED AMP.ENABLED"),
        (FROM_0, "CLIP_GRADIENTS.FULL_MODEL_NORM"),
        (ASCENDING, "STEPS"),
        (SHARE, "WARMUP_FACTOR POLY_LR_CONSTANT_ENDING"),
        (NOT_NEGATIVE, "WARMUP_ITERS REFERENCE_WORLD_SIZE"),
        (one_of("linear", "constant"), "WARMUP_METHOD"),
    ],
    "TEST.": [
        (NOT_NEGATIVE, "EVAL_PERIOD TILES"),
        (each(RESULT), "EXPECTED_RESULTS"),
        (COUNT, "IMS_PER_BATCH AUG.MAX_SIZE PRECISE_BN.NUM_ITER"),
        (one_of("joint", "seen"), "VOCABULARY"),
        (each(one_of("png", "rle")), "DUMP"),
        (each(NOT_NEGATIVE, 1), "AUG.MIN_SIZES"),
        (ANY, "BEST_METRIC PROPOSAL_RECALL AUG.ENABLED AUG.FLIP PRECISE_BN.ENABLED"),
    ],
}
RULES = {
    section + key: rule
    for section, lines in _SECTIONS.items()
    for rule, keys in lines
    for key in keys.split()
}


def _read(section: str, keys: str, switch: str, values: str) -> Condition:
    return Condition(tuple(section + key for key in keys.split() or [""]), switch, values)


_HEAD, _KERNELS, _SOLVER = "MODEL.SEM_SEG_HEAD.", "MODEL.KERNELS.", "SOLVER."
_RESNETS, _CLIP, _BACKBONE = "MODEL.RESNETS.", "MODEL.CLIP.", "MODEL.BACKBONE.NAME"
CONDITIONS = (
    _read("MODEL.TIMM.", "", _BACKBONE, "build_timm_backbone"),
    _read("MODEL.BACKBONE.FREEZE_AT", "", _BACKBONE, "not build_timm_backbone"),
    _read(_RESNETS, "DEPTH N W ST RES DEFORM", _BACKBONE, "not build_timm_backbone"),
    _read(
        _RESNETS, "RES4 RES5_MULTI STEM_TYPE", _BACKBONE, "not build_resnet_backbone fpn_backbone"
    ),
    _read(_KERNELS, "", _HEAD + "NAME", "not ZSMaskFormerHead TextFCNHead"),
    _read(
        _KERNELS,
        "NUM_HEADS DIM_FEEDFORWARD GATHER_ FEATURE_TRANSFORM MASK_UPDATE",
        _KERNELS + "NUM_STAGES",
        "not 0",
    ),
    _read(_KERNELS, "CLUSTER_", _KERNELS + "INIT", "clusters"),
    _read("MODEL.MASK_FORMER.", "", _HEAD + "NAME", "not DynamicKernelHead TextFCNHead"),
    _read(_HEAD, "ASPP_ FINE_FEATURE", _HEAD + "NAME", "not ZSMaskFormerHead"),
    _read(_HEAD, "ASPP_ FINE_FEATURE", _HEAD + "IN_FEATURES", "1"),
    _read(_HEAD, "NUM_CLASSES", _HEAD + "CLASSIFIER", "linear"),
    _read(_HEAD, "TEMPERATURE", _HEAD + "CLASSIFIER", "text"),
    _read(_HEAD, "CLASSIFIER CLASS_", _HEAD + "NAME", "not TextFCNHead"),
    _read(_HEAD, "CLASS_FEATURES", _HEAD + "CLASSIFIER", "not none"),
    _read(_HEAD, "CLASS_DROPOUT", _HEAD + "CLASS_FEATURES", "not 0"),
    _read("MODEL.CRITERION.", "", "MODEL.META_ARCHITECTURE", "not PerPixelNet"),
    _read(_CLIP, "REGION_ ONE_PASS_ MASK_", "MODEL.META_ARCHITECTURE", "not PerPixelNet"),
    _read(_CLIP, "TEMPERATURE REGION_ ONE_PASS_ FURTHER_", "MODEL.ENSEMBLE.MODE", "not head"),
    _read(_CLIP, "ONE_PASS_SIZE", _CLIP + "REGION_MODE", "one_pass"),
    _read(_CLIP, "PROMPT_WEIGHTS", _CLIP + "PROMPT", "learned"),
    _read("MODEL.PER_PIXEL.", "", "MODEL.META_ARCHITECTURE", "PerPixelNet"),
    _read("MODEL.PER_PIXEL.", "", "MODEL.ENSEMBLE.MODE", "not head"),
    _read("MODEL.ENSEMBLE.", "LAMBDA", "MODEL.ENSEMBLE.MODE", "ensemble"),
    _read("MODEL.ENSEMBLE.", "SEEN_PENALTY", "MODEL.ENSEMBLE.MODE", "not clip"),
    _read(_SOLVER, "MOMENTUM NESTEROV", "SOLVER.OPTIMIZER", "SGD"),
    _read(_SOLVER, "STEPS GAMMA", "SOLVER.LR_SCHEDULER_NAME", "WarmupMultiStepLR"),
    _read(_SOLVER, "POLY_", "SOLVER.LR_SCHEDULER_NAME", "WarmupPolyLR"),
    _read(_SOLVER, "CLIP_GRADIENTS.FULL_MODEL_NORM", "SOLVER.CLIP_GRADIENTS.ENABLED", "True"),
    _read("INPUT.", "CROP.S", "INPUT.CROP.ENABLED", "True"),
    _read(_HEAD, "CLASS_HIDDEN_DIMS", _HEAD + "CLASSIFIER", "text"),
    _read(_HEAD, "CLASS_HIDDEN_DIMS", _HEAD + "CLASS_FEATURES", "0"),
    _read("TEST.", "TILES", "TEST.AUG.ENABLED", "False"),
    _read("TEST.", "TILES", "MODEL.META_ARCHITECTURE", "not PerPixelNet"),
    _read("TEST.", "AUG.M AUG.FLIP", "TEST.AUG.ENABLED", "True"),
    _read("TEST.", "PRECISE_BN.NUM_ITER", "TEST.PRECISE_BN.ENABLED", "True"),
)

_OTHERS = "belongs to Detectron2's models of boxes, instances and panoptic segmentation"
FIXED = {  # the beginning of a key: why it is fixed, and what there is instead
    "MODEL.SEM_SEG_HEAD.IGNORE_VALUE": "is always 255: label_values in a split file "
    "(DATASETS.SPLIT_FILE) say which stored value stands for which class",
    "MODEL.SEM_SEG_HEAD.COMMON_STRIDE": "has no meaning: MODEL.SEM_SEG_HEAD.FINE_FEATURE and "
    "IN_FEATURES decide the stride of the masks",
    "MODEL.SEM_SEG_HEAD.LOSS_": "has no meaning: the losses are those of MODEL.CRITERION",
    "MODEL.SEM_SEG_HEAD.PROJECT_": "has no meaning: choose MODEL.SEM_SEG_HEAD.FINE_FEATURE",
    "MODEL.SEM_SEG_HEAD.": "belongs to Detectron2's DeepLab head",
    "INPUT.FORMAT": "is always RGB: give MODEL.PIXEL_MEAN and PIXEL_STD in this order",
    "INPUT.CROP.TYPE": "is always absolute: give INPUT.CROP.SIZE in pixels",
    "DATALOADER.SAMPLER_TRAIN": "is always TrainingSampler: list a data set with the rare classes "
    "several times in DATASETS.TRAIN",
    "DATALOADER.REPEAT_THRESHOLD": "goes with RepeatFactorTrainingSampler: list a data set with "
    "the rare classes several times in DATASETS.TRAIN",
    "DATALOADER.ASPECT_RATIO_GROUPING": "is always False: the photos of a batch are padded",
    "DATALOADER.FILTER_EMPTY_ANNOTATIONS": "is always False: leave photos out with a file list",
    "SOLVER.CLIP_GRADIENTS.": "has no meaning: SOLVER.CLIP_GRADIENTS.FULL_MODEL_NORM limits the "
    "norm of all gradients together, and ENABLED False switches it off",
    "VERSION": "is always 2",
    "VIS_PERIOD": "has no meaning: demo/demo.py shows what a checkpoint predicts",
    "GLOBAL.": "has no meaning: nothing reads it",
    "": _OTHERS,
}
