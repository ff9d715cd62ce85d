"""The proposal head: kernel generator, S update stages, embeddings (the figure's middle row).

Shape letters: B images, D kernel width, N kernels, S stages, K classes, E embedding width.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn

from .build import build_class_scores, build_kernel_generator, build_stage, check_settings
from .class_scores import ClassScores, pool_regions
from .kernel_generator import KernelGenerator
from .outputs import Proposals


@SEM_SEG_HEADS_REGISTRY.register()
class DynamicKernelHead(nn.Module):
    """N dynamic kernels, refined S times; every stage gives masks and embeddings."""

    @configurable
    def __init__(
        self,
        *,
        kernel_generator: KernelGenerator,
        stages: Sequence[nn.Module],
        class_scores: Sequence[ClassScores],
        class_features: Sequence[str] = (),
    ):
        """
        Args:
            class_scores: one module more than `stages`, since K_0 is scored and supervised, too.
            class_features: backbone features to pool under the masks and to embed instead of the
                kernels, see `pool_regions`; () embeds the kernels (the method).
        """
        super().__init__()
        assert len(class_scores) == len(stages) + 1
        self.kernel_generator = kernel_generator
        self.stages = nn.ModuleList(stages)
        self.class_scores = nn.ModuleList(class_scores)
        self.class_features = tuple(class_features)

    @classmethod
    def from_config(
        cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec], embed_dim: int
    ) -> dict[str, Any]:
        num_stages = cfg.MODEL.KERNELS.NUM_STAGES
        check_settings(cfg, input_shape)
        return {
            "kernel_generator": build_kernel_generator(cfg, input_shape),
            "stages": [build_stage(cfg) for _ in range(num_stages)],
            "class_scores": [
                build_class_scores(cfg, input_shape, embed_dim) for _ in range(num_stages + 1)
            ],
            "class_features": cfg.MODEL.SEM_SEG_HEAD.CLASS_FEATURES,
        }

    def forward(self, features: Mapping[str, Tensor]) -> list[Proposals]:
        """Backbone features -> S+1 proposals, stage 0 (K_0, M_0) first."""
        feature_map, kernels, masks = self.kernel_generator(features)
        proposals = [self.propose(0, features, kernels, masks)]
        for number, stage in enumerate(self.stages, start=1):
            kernels, masks = stage(feature_map, kernels, masks)
            proposals.append(self.propose(number, features, kernels, masks))
        return proposals

    def propose(
        self, stage: int, features: Mapping[str, Tensor], kernels: Tensor, masks: Tensor
    ) -> Proposals:
        """The masks of one stage with embeddings of its kernels, or of what its masks cover."""
        vectors = kernels
        if self.class_features:
            vectors = pool_regions(features, self.class_features, masks)
        scores = cast(ClassScores, self.class_scores[stage])
        return Proposals(scores.embed(vectors), masks)

    def class_logits(self, embeddings: Tensor, text: Tensor, stage: int = -1) -> Tensor:
        """Embeddings (…,N,E) of a stage, text (K,E) -> logits (…,N,K+1) float32."""
        return self.class_scores[stage](embeddings, text)
