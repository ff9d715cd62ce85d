"""Which configuration keys need another key to be read, and which are fixed, with the reasons."""

from __future__ import annotations

from typing import Any, NamedTuple


class Condition(NamedTuple):
    """Keys are read only for some values of another key.

    keys: beginnings of their names.
    switch: the key that decides.
    values: its values, such as "A B" or "not A B"; of a list, how many entries it has.
    head: holds for this MODEL.SEM_SEG_HEAD.NAME alone; "": for all.
    """

    keys: tuple[str, ...]
    switch: str
    values: str
    head: str = ""

    def holds(self, value: Any) -> bool:
        text = str(len(value) if isinstance(value, list) else value) or "''"
        first, *others = self.values.split()
        return text not in others if first == "not" else text in (first, *others)

    def words(self, value: Any) -> str:
        """What has to be so; `value`: that of the switch now."""
        wanted = self.values.replace(" ", " or ").replace("not or", "not")
        wanted = f"has {wanted} entries" if isinstance(value, list) else f"is {wanted}"
        return f"{self.switch} {wanted}"


def _read(section: str, keys: str, switch: str, values: str, head: str = "") -> Condition:
    return Condition(tuple(section + key for key in keys.split() or [""]), switch, values, head)


PIXEL_HEADS = "TextFCNHead SPNetHead ZS3Head CaGNetHead JoEmHead"
_OWN_BACKBONES = "build_timm_backbone build_clip_backbone"
_HEAD, _KERNELS, _SOLVER = "MODEL.SEM_SEG_HEAD.", "MODEL.KERNELS.", "SOLVER."
_RESNETS, _CLIP, _SYNTHESIS = "MODEL.RESNETS.", "MODEL.CLIP.", "MODEL.SYNTHESIS."
_SELF_TRAINING, _BACKBONE = "SELF_TRAINING.", "MODEL.BACKBONE.NAME"
_NAME, _ARCHITECTURE = "MODEL.SEM_SEG_HEAD.NAME", "MODEL.META_ARCHITECTURE"
_MODE = "MODEL.ENSEMBLE.MODE"
CONDITIONS = (
    _read("MODEL.TIMM.", "", _BACKBONE, "build_timm_backbone"),
    _read("MODEL.BACKBONE.FREEZE_AT", "", _BACKBONE, f"not {_OWN_BACKBONES}"),
    _read(_RESNETS, "DEPTH N W ST RES", _BACKBONE, f"not {_OWN_BACKBONES}"),
    _read(_RESNETS, "RES4 RES5_MULTI STEM_TYPE", _BACKBONE, "not build_resnet_backbone"),
    _read(_CLIP, "BACKBONE_SCALE", _BACKBONE, "build_clip_backbone"),
    _read(_SOLVER, "BACKBONE_MULTIPLIER", _BACKBONE, "not build_clip_backbone"),
    _read(_KERNELS, "", _NAME, f"not ZSMaskFormerHead {PIXEL_HEADS}"),
    _read(_KERNELS, "", _ARCHITECTURE, "not PerPixelNet"),  # of MODE clip, which has no head
    _read(
        _KERNELS,
        "NUM_HEADS DIM_FEEDFORWARD GATE_ GATHER_ FEATURE_TRANSFORM MASK_UPDATE",
        _KERNELS + "NUM_STAGES",
        "not 0",
    ),
    _read(_KERNELS, "CLUSTER_", _KERNELS + "INIT", "clusters"),
    _read(_KERNELS, "INIT_BIAS", _KERNELS + "INIT", "learned"),
    _read("MODEL.MASK_FORMER.", "", _NAME, f"not DynamicKernelHead {PIXEL_HEADS}"),
    _read(_HEAD, "ASPP_ FINE_FEATURE", _NAME, "not ZSMaskFormerHead"),
    _read(_HEAD, "ASPP_ FINE_FEATURE", _HEAD + "IN_FEATURES", "1"),
    _read(_HEAD, "NORM", _HEAD + "IN_FEATURES", "not 0"),
    _read(_HEAD, "NUM_CLASSES", _HEAD + "CLASSIFIER", "linear"),
    _read(_HEAD, "TEMPERATURE CLASS_HIDDEN_DIMS", _HEAD + "CLASSIFIER", "text"),
    _read(_HEAD, "CLASSIFIER CLASS_", _NAME, f"not {PIXEL_HEADS}"),
    _read(_HEAD, "ASPP_CH FINE_F NORM", _NAME, "not SPNetHead CaGNetHead JoEmHead"),
    _read(_HEAD, "ASPP_CH NORM", _HEAD + "FINE_FEATURE", "not ''", "ZS3Head"),
    _read(_HEAD, "CONVS_DIM", _NAME, "not SPNetHead ZSMaskFormerHead"),
    _read(_HEAD, "TEMPERATURE", _NAME, "not SPNetHead ZS3Head CaGNetHead JoEmHead"),
    _read(_SYNTHESIS, "", _NAME, "ZS3Head CaGNetHead JoEmHead"),
    _read(_SYNTHESIS, "START HIDDEN DROPOUT UNSEEN SAMPLES", _NAME, "not JoEmHead"),
    _read(_SYNTHESIS, "GRAPH", _NAME, "ZS3Head"),
    _read("DATASETS.", "LEAK_UNSEEN_LAYOUT", _NAME, "ZS3Head"),
    _read(_SYNTHESIS, "SAMPLES", "MODEL.SYNTHESIS.GRAPH", "False"),
    _read(_SYNTHESIS, "CLASSIFIER_LR PERIOD CONTEXT_ POSITION GENERATED_", _NAME, "CaGNetHead"),
    _read(_HEAD, "CLASSIFIER CLASS_", _ARCHITECTURE, "not PerPixelNet"),
    _read(_HEAD, "CLASS_FEATURES", _HEAD + "CLASSIFIER", "not none"),
    _read(_HEAD, "CLASS_DROPOUT", _HEAD + "CLASS_FEATURES", "not 0"),
    _read("MODEL.CRITERION.", "", _ARCHITECTURE, "not PerPixelNet"),
    _read(_CLIP, "REGION_ ONE_PASS_ MASK_ CROP_", _ARCHITECTURE, "not PerPixelNet"),
    _read(_CLIP, "TEMPERATURE REGION_ ONE_PASS_ MASK_ FURTHER_ CROP_", _MODE, "not head"),
    _read(_CLIP, "ONE_PASS_SIZE", _CLIP + "REGION_MODE", "one_pass"),
    _read(_CLIP, "ONE_PASS_SIZE", _CLIP + "NAME", "not embedded"),
    _read(_CLIP, "CROP_ANTIALIAS", _CLIP + "REGION_MODE", "crop"),
    _read(_CLIP, "PROMPT_WEIGHTS", _CLIP + "PROMPT", "learned"),
    _read(_CLIP, "REGION_PROMPT_WEIGHTS", _CLIP + "REGION_PROMPT", "learned"),
    _read("MODEL.ENSEMBLE.", "LAMBDA EMPTY", _MODE, "ensemble"),
    _read("MODEL.ENSEMBLE.", "EMPTY", _ARCHITECTURE, "not PerPixelNet"),
    _read("TEST.", "SIZE_DIV VOTES_AT", _ARCHITECTURE, "not PerPixelNet"),
    _read("MODEL.PER_PIXEL.", "", _ARCHITECTURE, "PerPixelNet"),
    _read("MODEL.PER_PIXEL.", "ATTENTION", _MODE, "not head"),
    _read("MODEL.PER_PIXEL.", "SCALES", _MODE, "not clip"),
    _read("MODEL.ENSEMBLE.", "SEEN_PENALTY", _MODE, "not clip"),
    _read("MODEL.ENSEMBLE.", "SEEN_PENALTY_ON", _ARCHITECTURE, "PerPixelNet"),
    _read("MODEL.ENSEMBLE.", "SEEN_PENALTY_ON", _MODE, "head"),
    _read("MODEL.ENSEMBLE.", "SEEN_PENALTY_ON", "MODEL.ENSEMBLE.SEEN_PENALTY", "not 0.0 0"),
    _read(_SOLVER, "MOMENTUM NESTEROV", "SOLVER.OPTIMIZER", "SGD"),
    _read(_SOLVER, "STEPS GAMMA", "SOLVER.LR_SCHEDULER_NAME", "WarmupMultiStepLR"),
    _read(_SOLVER, "WARMUP_METHOD WARMUP_FACTOR", "SOLVER.WARMUP_ITERS", "not 0"),
    _read(_SOLVER, "POLY_", "SOLVER.LR_SCHEDULER_NAME", "WarmupPolyLR"),
    _read(_SOLVER, "CLIP_GRADIENTS.FULL_MODEL_NORM", "SOLVER.CLIP_GRADIENTS.ENABLED", "True"),
    _read("INPUT.", "CROP.S", "INPUT.CROP.ENABLED", "True"),
    _read(_HEAD, "CLASS_HIDDEN_DIMS", _HEAD + "CLASS_FEATURES", "0"),
    _read("TEST.", "TILES", "TEST.AUG.ENABLED", "False"),
    _read("TEST.", "TILES", _ARCHITECTURE, "not PerPixelNet"),
    _read("TEST.", "TILES", "TEST.VOTES_AT", "result"),
    _read("TEST.", "VOTES_AT", "TEST.TILES", "0"),
    _read("TEST.", "AUG.M AUG.FLIP", "TEST.AUG.ENABLED", "True"),
    _read(_SELF_TRAINING, "ENABLED", _HEAD + "CLASSIFIER", "text"),
    _read(_SELF_TRAINING, "CANDI FILTER AMOUNT VIEW ANNEAL", _SELF_TRAINING + "ENABLED", "True"),
    _read(_SELF_TRAINING, "CANDIDATES", _SELF_TRAINING + "FILTER", "not rank"),
    _read(_SELF_TRAINING, "AMOUNT", _SELF_TRAINING + "FILTER", "share rank"),
    _read(_SELF_TRAINING, "VIEW_SCALES", _SELF_TRAINING + "FILTER", "agreement"),
    # heads whose losses take weights of labels
    _read(_SELF_TRAINING, "ANNEAL", _NAME, PIXEL_HEADS),
)

FIXED = {  # the beginning of a key: why it is fixed, and what there is instead
    "MODEL.RESNETS.DEFORM": "is always off",
    "MODEL.SEM_SEG_HEAD.IGNORE_VALUE": "is always 255: label_values in a split file "
    "(DATASETS.SPLIT_FILE) say which stored value stands for which class",
    "MODEL.SEM_SEG_HEAD.COMMON_STRIDE": "has no meaning: FINE_FEATURE and IN_FEATURES decide",
    "MODEL.SEM_SEG_HEAD.LOSS_": "has no meaning: the losses are those of MODEL.CRITERION",
    "MODEL.SEM_SEG_HEAD.PROJECT_": "has no meaning: choose MODEL.SEM_SEG_HEAD.FINE_FEATURE",
    "MODEL.SEM_SEG_HEAD.": "belongs to Detectron2's DeepLab head",
    "INPUT.FORMAT": "is always RGB: give MODEL.PIXEL_MEAN and PIXEL_STD in this order",
    "INPUT.CROP.TYPE": "is always absolute: give INPUT.CROP.SIZE in pixels",
    "DATALOADER.SAMPLER_TRAIN": "is always TrainingSampler: list a data set with the rare classes "
    "several times in DATASETS.TRAIN",
    "DATALOADER.REPEAT_THRESHOLD": "goes with another SAMPLER_TRAIN, which is fixed, too",
    "DATALOADER.ASPECT_RATIO_GROUPING": "is always False: the photos of a batch are padded",
    "DATALOADER.FILTER_EMPTY_ANNOTATIONS": "is always False: leave photos out with a file list",
    "SOLVER.CLIP_GRADIENTS.": "has no meaning: SOLVER.CLIP_GRADIENTS.FULL_MODEL_NORM limits the "
    "norm of all gradients together, and ENABLED False switches it off",
    "VERSION": "is always 2",
    "VIS_PERIOD": "has no meaning: zsk segment shows what a checkpoint predicts",
    "GLOBAL.": "has no meaning: nothing reads it",
    "TEST.PRECISE_BN.": "has no meaning: batch norm keeps its running statistics",
    "TEST.EXPECTED_RESULTS": "has no meaning: the numbers are in metrics.json",
    "": "belongs to Detectron2's models of boxes, instances and panoptic segmentation",
}
