"""The proposal head: kernel generator, S update stages, class scores (the figure's middle row).

Shape letters: B images, D kernel width, N kernels, S stages, K classes, E text embedding width.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn

from zsk.errors import UserError

from .class_scores import TextAlignedScores, kernel_embedding, pool_regions, region_embedding
from .image_clusters import ClusterKernels
from .kernel_generator import KernelGenerator, StaticKernels
from .kernel_update import KernelUpdateStage


class Proposals(NamedTuple):
    """What one stage predicts."""

    pred_logits: Tensor  # (B,N,K+1) float32, the no-object class last
    pred_masks: Tensor  # (B,N,h,w) mask logits


@SEM_SEG_HEADS_REGISTRY.register()
class DynamicKernelHead(nn.Module):
    """N dynamic kernels, refined S times; every stage gives masks and text-aligned class scores."""

    @configurable
    def __init__(
        self,
        *,
        kernel_generator: KernelGenerator,
        stages: Sequence[nn.Module],
        class_scores: Sequence[nn.Module],
        class_features: Sequence[str] = (),
    ):
        """
        Args:
            class_scores: one part more than `stages`: K_0 is scored and supervised, too.
            class_features: backbone features that are pooled under the masks and scored instead of
                the kernels (our choice, see `pool_regions`).
        """
        super().__init__()
        if len(class_scores) != len(stages) + 1:
            raise ValueError("one class_scores part for K_0 and one for each stage")
        self.kernel_generator = kernel_generator
        self.stages = nn.ModuleList(stages)
        self.class_scores = nn.ModuleList(class_scores)
        self.class_features = tuple(class_features)

    @classmethod
    def from_config(
        cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec], embed_dim: int
    ) -> dict[str, Any]:
        kernels, head = cfg.MODEL.KERNELS, cfg.MODEL.SEM_SEG_HEAD
        clustered = kernels.CLUSTER_FEATURES if kernels.INIT == "clusters" else []
        for feature in (head.IN_FEATURES[0], head.FINE_FEATURE, *clustered, *head.CLASS_FEATURES):
            if feature and feature not in input_shape:
                raise UserError(
                    f"MODEL.SEM_SEG_HEAD or MODEL.KERNELS asks for backbone feature {feature!r}, "
                    f"but the backbone gives {', '.join(input_shape)}: add it to the OUT_FEATURES"
                )
        return {
            "kernel_generator": KernelGenerator(
                input_shape,
                in_feature=head.IN_FEATURES[0],
                fine_feature=head.FINE_FEATURE,
                cluster_features=clustered,
                aspp_dilations=head.ASPP_DILATIONS,
                aspp_channels=head.ASPP_CHANNELS,
                dim=kernels.DIM,
                norm=head.NORM,
                kernels=_build_initial_kernels(kernels),
            ),
            "stages": [
                KernelUpdateStage(
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
                for _ in range(kernels.NUM_STAGES)
            ],
            "class_scores": [
                TextAlignedScores(
                    _build_embedding(cfg, input_shape, embed_dim), embed_dim, head.TEMPERATURE
                )
                for _ in range(kernels.NUM_STAGES + 1)
            ],
            "class_features": head.CLASS_FEATURES,
        }

    def forward(self, features: Mapping[str, Tensor], text: Tensor) -> list[Proposals]:
        """Backbone features and text (K,E) -> S+1 proposals, stage 0 (K_0, M_0) first."""
        feature_map, kernels, masks = self.kernel_generator(features)
        outputs = [self.propose(0, features, kernels, masks, text)]
        for number, stage in enumerate(self.stages, start=1):
            kernels, masks = stage(feature_map, kernels, masks)
            outputs.append(self.propose(number, features, kernels, masks, text))
        return outputs

    def propose(
        self,
        stage: int,
        features: Mapping[str, Tensor],
        kernels: Tensor,
        masks: Tensor,
        text: Tensor,
    ) -> Proposals:
        """One stage's masks with the class scores of its kernels, or of what its masks cover."""
        if self.class_features:
            vectors = pool_regions(features, self.class_features, masks)
        else:
            vectors = kernels
        return Proposals(self.class_scores[stage](vectors, text), masks)


def _build_embedding(
    cfg: CfgNode, input_shape: Mapping[str, ShapeSpec], embed_dim: int
) -> nn.Module:
    head = cfg.MODEL.SEM_SEG_HEAD
    if not head.CLASS_FEATURES:
        return kernel_embedding(cfg.MODEL.KERNELS.DIM, embed_dim)
    channels = sum(int(input_shape[name].channels or 0) for name in head.CLASS_FEATURES)
    return region_embedding(channels, embed_dim, head.CLASS_DROPOUT)


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
