"""The proposal head's parts as a configuration asks for them."""

from collections.abc import Mapping

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec, get_norm
from torch import nn

from zsk.errors import UserError

from .class_scores import TextAlignedScores, kernel_embedding, region_embedding
from .image_clusters import ClusterKernels
from .kernel_generator import KernelGenerator, StaticKernels
from .kernel_update import KernelUpdateStage


def check_settings(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> None:
    """Raises UserError for a feature that the backbone lacks and for an unknown norm."""
    head = cfg.MODEL.SEM_SEG_HEAD
    wanted = (head.IN_FEATURES[0], head.FINE_FEATURE, *_clustered(cfg), *head.CLASS_FEATURES)
    for feature in wanted:
        if feature and feature not in input_shape:
            raise UserError(
                f"MODEL.SEM_SEG_HEAD or MODEL.KERNELS asks for backbone feature {feature!r}, "
                f"but the backbone gives {', '.join(input_shape)}: add it to the OUT_FEATURES"
            )
    try:
        get_norm(head.NORM, 32)
    except KeyError as error:
        raise UserError(
            f"MODEL.SEM_SEG_HEAD.NORM is {head.NORM!r}: choose GN, LN, BN, SyncBN, FrozenBN or ''"
        ) from error


def build_kernel_generator(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> KernelGenerator:
    """ASPP, fusion and initial kernels. Raises UserError for settings that do not go together."""
    head = cfg.MODEL.SEM_SEG_HEAD
    return KernelGenerator(
        input_shape,
        in_feature=head.IN_FEATURES[0],
        fine_feature=head.FINE_FEATURE,
        cluster_features=_clustered(cfg),
        aspp_dilations=head.ASPP_DILATIONS,
        aspp_channels=head.ASPP_CHANNELS,
        dim=cfg.MODEL.KERNELS.DIM,
        norm=head.NORM,
        kernels=_build_initial_kernels(cfg.MODEL.KERNELS),
    )


def build_stage(cfg: CfgNode) -> KernelUpdateStage:
    """One update stage."""
    kernels = cfg.MODEL.KERNELS
    return KernelUpdateStage(
        dim=kernels.DIM,
        num_heads=kernels.NUM_HEADS,
        dim_feedforward=kernels.DIM_FEEDFORWARD,
        dropout=kernels.DROPOUT,
        num_mask_layers=kernels.NUM_MASK_LAYERS,
        gather_activation=kernels.GATHER_ACTIVATION,
        gather_reduction=kernels.GATHER_REDUCTION,
        feature_transform=kernels.FEATURE_TRANSFORM,
        mask_update=kernels.MASK_UPDATE,
    )


def build_class_scores(
    cfg: CfgNode, input_shape: Mapping[str, ShapeSpec], embed_dim: int
) -> TextAlignedScores:
    """The class scores of one stage: of its kernels, or of the features under its masks."""
    head = cfg.MODEL.SEM_SEG_HEAD
    if head.CLASS_FEATURES:
        channels = sum(int(input_shape[name].channels or 0) for name in head.CLASS_FEATURES)
        embedding = region_embedding(channels, embed_dim, head.CLASS_DROPOUT)
    else:
        embedding = kernel_embedding(cfg.MODEL.KERNELS.DIM, embed_dim)
    return TextAlignedScores(embedding, embed_dim, head.TEMPERATURE)


def _clustered(cfg: CfgNode) -> list[str]:
    """Names of the features that the initial kernels cluster."""
    kernels = cfg.MODEL.KERNELS
    return list(kernels.CLUSTER_FEATURES) if kernels.INIT == "clusters" else []


def _build_initial_kernels(kernels: CfgNode) -> nn.Module:
    if kernels.INIT == "learned":
        return StaticKernels(kernels.NUM_KERNELS, kernels.DIM)
    if kernels.INIT == "clusters":
        if not kernels.CLUSTER_FEATURES:
            raise UserError("MODEL.KERNELS.CLUSTER_FEATURES is empty: name a backbone feature")
        if sum(kernels.CLUSTER_COUNTS) != kernels.NUM_KERNELS:
            raise UserError(
                f"MODEL.KERNELS.CLUSTER_COUNTS {list(kernels.CLUSTER_COUNTS)} has to add up to "
                f"MODEL.KERNELS.NUM_KERNELS {kernels.NUM_KERNELS}"
            )
        return ClusterKernels(kernels.CLUSTER_COUNTS, kernels.DIM, logit=kernels.CLUSTER_LOGIT)
    raise UserError(f"MODEL.KERNELS.INIT is {kernels.INIT!r}: choose learned or clusters")
