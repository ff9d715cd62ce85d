"""Builds the parts of DynamicKernelHead from a configuration."""

from collections.abc import Mapping
from operator import itemgetter

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from torch import nn

from zsk.errors import UserError

from .build_features import build_feature_map
from .class_scores import (
    ClassScores,
    LinearScores,
    NoScores,
    TextAlignedScores,
    mlp,
    region_embedding,
)
from .image_clusters import ClusterKernels
from .kernel_generator import KernelGenerator, StaticKernels
from .kernel_update import KernelUpdateStage


def check_settings(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> None:
    """Raises UserError for features that do not fit the backbone."""
    head = cfg.MODEL.SEM_SEG_HEAD
    wanted = [*head.IN_FEATURES, head.FINE_FEATURE, *_clustered(cfg), *head.CLASS_FEATURES]
    missing = [repr(name) for name in dict.fromkeys(wanted) if name and name not in input_shape]
    if missing:
        raise UserError(
            f"MODEL.SEM_SEG_HEAD or MODEL.KERNELS asks for backbone feature {', '.join(missing)}, "
            f"but the backbone gives {', '.join(input_shape)}: add what is missing to the "
            "OUT_FEATURES"
        )


def build_kernel_generator(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> KernelGenerator:
    """ASPP, fusion and initial kernels; with MODEL.SEM_SEG_HEAD.IN_FEATURES [] clusters alone.

    Raises:
        UserError: settings do not go together.
    """
    head, kernels = cfg.MODEL.SEM_SEG_HEAD, cfg.MODEL.KERNELS
    if not head.IN_FEATURES:
        scored = head.CLASS_FEATURES or head.CLASSIFIER == "none"
        if kernels.INIT != "clusters" or kernels.NUM_STAGES or not scored:
            raise UserError(
                "MODEL.SEM_SEG_HEAD.IN_FEATURES is empty, which needs MODEL.KERNELS.INIT clusters, "
                "NUM_STAGES 0 and CLASS_FEATURES or CLASSIFIER none: name the feature that ASPP "
                "reads"
            )
        names = _clustered(cfg)
        return KernelGenerator(itemgetter(names[0]), _build_clusters(kernels, None), names)
    if head.CLASSIFIER == "none":
        raise UserError(
            f"MODEL.SEM_SEG_HEAD.CLASSIFIER is none, but IN_FEATURES {list(head.IN_FEATURES)} asks "
            "for learned masks: set it to [] (clusters), or choose CLASSIFIER text"
        )
    if kernels.INIT == "clusters" and not kernels.NUM_STAGES and head.CLASS_FEATURES:
        raise UserError(  # distributed training stops at parameters without a gradient
            f"MODEL.SEM_SEG_HEAD.IN_FEATURES is {list(head.IN_FEATURES)}, but with clusters, "
            "NUM_STAGES 0 and CLASS_FEATURES nothing reads what ASPP makes of it: set it to []"
        )
    feature_map = build_feature_map(head, input_shape, kernels.DIM)
    initial: nn.Module
    if kernels.INIT == "clusters":
        initial = _build_clusters(kernels, kernels.DIM)
    else:
        initial = StaticKernels(kernels.NUM_KERNELS, kernels.DIM, kernels.INIT_BIAS)
    return KernelGenerator(feature_map, initial, _clustered(cfg))


def build_stage(cfg: CfgNode) -> KernelUpdateStage:
    """One update stage."""
    kernels = cfg.MODEL.KERNELS
    for key in ("NUM_HEADS", "GATE_GROUPS"):
        if kernels.DIM % kernels[key]:
            raise UserError(
                f"MODEL.KERNELS.DIM is {kernels.DIM}, but has to be a multiple of "
                f"MODEL.KERNELS.{key} {kernels[key]}"
            )
    return KernelUpdateStage(
        dim=kernels.DIM,
        num_heads=kernels.NUM_HEADS,
        dim_feedforward=kernels.DIM_FEEDFORWARD,
        gather_activation=kernels.GATHER_ACTIVATION,
        gather_reduction=kernels.GATHER_REDUCTION,
        feature_transform=kernels.FEATURE_TRANSFORM,
        mask_update=kernels.MASK_UPDATE,
        gate_groups=kernels.GATE_GROUPS,
    )


def build_class_scores(
    cfg: CfgNode, input_shape: Mapping[str, ShapeSpec], embed_dim: int
) -> ClassScores:
    """The class scores of one stage, on its kernels or on the features under its masks."""
    head = cfg.MODEL.SEM_SEG_HEAD
    if head.CLASSIFIER == "none":
        if cfg.MODEL.ENSEMBLE.MODE != "clip":
            raise UserError(
                "MODEL.SEM_SEG_HEAD.CLASSIFIER is none, so the head names nothing, but "
                f"MODEL.ENSEMBLE.MODE is {cfg.MODEL.ENSEMBLE.MODE}: set it to clip"
            )
        return NoScores()
    if not head.CLASS_FEATURES:
        return build_vector_scores(head, cfg.MODEL.KERNELS.DIM, embed_dim)
    channels = sum(int(input_shape[name].channels or 0) for name in head.CLASS_FEATURES)
    if head.CLASSIFIER == "linear":
        embedding = region_embedding(channels, head.NUM_CLASSES + 1, head.CLASS_DROPOUT)
        return LinearScores(embedding, head.NUM_CLASSES)
    embedding = region_embedding(channels, embed_dim, head.CLASS_DROPOUT)
    return TextAlignedScores(embedding, embed_dim, head.TEMPERATURE)


def build_vector_scores(head: CfgNode, dim: int, embed_dim: int) -> ClassScores:
    """The class scores of kernels or queries of width `dim`; `head`: MODEL.SEM_SEG_HEAD.

    The linear classifier is a single layer, as MaskFormer's is.

    Raises:
        UserError: CLASSIFIER is none.
    """
    if head.CLASSIFIER == "none":
        raise UserError(
            f"MODEL.SEM_SEG_HEAD.CLASSIFIER is none, but NAME {head.NAME} has learned masks: take "
            "DynamicKernelHead with IN_FEATURES [], or CLASSIFIER text"
        )
    if head.CLASSIFIER == "linear":
        return LinearScores(nn.Linear(dim, head.NUM_CLASSES + 1), head.NUM_CLASSES)
    embedding = mlp(dim, head.CLASS_HIDDEN_DIMS or [dim, dim], embed_dim)
    return TextAlignedScores(embedding, embed_dim, head.TEMPERATURE)


def _clustered(cfg: CfgNode) -> list[str]:
    """Names of the features that the initial kernels cluster."""
    kernels = cfg.MODEL.KERNELS
    return list(kernels.CLUSTER_FEATURES) if kernels.INIT == "clusters" else []


def _build_clusters(kernels: CfgNode, dim: int | None) -> ClusterKernels:
    if sum(kernels.CLUSTER_COUNTS) != kernels.NUM_KERNELS:
        raise UserError(
            f"MODEL.KERNELS.CLUSTER_COUNTS {list(kernels.CLUSTER_COUNTS)} has to add up to "
            f"MODEL.KERNELS.NUM_KERNELS {kernels.NUM_KERNELS}"
        )
    return ClusterKernels(kernels.CLUSTER_COUNTS, dim, logit=kernels.CLUSTER_LOGIT)
