"""The proposal head of ZS-MaskFormer, to which dynamic kernels are compared.

MaskFormer (Cheng et al., NeurIPS 2021) with text-aligned class scores, or with a linear classifier
the fully supervised original.

Shape letters: B images, D query width, N queries, L layers, M mask embedding width, K classes, E
text embedding width.
"""

from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn

from zsk.errors import UserError
from zsk.proposals.build import build_vector_scores, check_settings
from zsk.proposals.build_features import build_pyramid, check_norm_width
from zsk.proposals.class_scores import ClassScores, mlp
from zsk.proposals.masks import convolve_kernels
from zsk.proposals.outputs import Proposals
from zsk.proposals.pixel_decoder import PixelDecoder

from .transformer_decoder import TransformerDecoder


@SEM_SEG_HEADS_REGISTRY.register()
class ZSMaskFormerHead(nn.Module):
    """N queries, refined by L layers; every layer gives masks and embeddings.

    As published, one mask embedding and one set of class scores serve all layers.
    """

    class_scores: ClassScores

    @configurable
    def __init__(
        self,
        *,
        pixel_decoder: PixelDecoder,
        transformer_decoder: TransformerDecoder,
        memory_feature: str,
        mask_embed: nn.Module,
        class_scores: ClassScores,
    ):
        """
        Args:
            memory_feature: the backbone feature that the queries look at.
            mask_embed: queries (…,D) -> the weights of their masks (…,M).
            class_scores: `TextAlignedScores` or `LinearScores` on queries.
        """
        super().__init__()
        self.pixel_decoder = pixel_decoder
        self.transformer_decoder = transformer_decoder
        self.memory_feature = memory_feature
        self.mask_embed = mask_embed
        self.class_scores = class_scores

    @classmethod
    def from_config(
        cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec], embed_dim: int
    ) -> dict[str, Any]:
        settings, head = cfg.MODEL.MASK_FORMER, cfg.MODEL.SEM_SEG_HEAD
        check_settings(cfg, input_shape)
        _check(settings, head)
        pixel_decoder = build_pyramid(
            head, input_shape, conv_dim=settings.CONV_DIM, mask_dim=settings.MASK_DIM
        )
        memory = head.IN_FEATURES[-1]
        return {
            "pixel_decoder": pixel_decoder,
            "transformer_decoder": TransformerDecoder(
                int(input_shape[memory].channels or 0),
                num_queries=settings.NUM_QUERIES,
                dim=settings.DIM,
                num_layers=settings.NUM_LAYERS,
                num_heads=settings.NUM_HEADS,
                dim_feedforward=settings.DIM_FEEDFORWARD,
                dropout=settings.DROPOUT,
            ),
            "memory_feature": memory,
            "mask_embed": mlp(settings.DIM, [settings.DIM, settings.DIM], settings.MASK_DIM),
            "class_scores": build_vector_scores(head, settings.DIM, embed_dim),
        }

    def forward(self, features: Mapping[str, Tensor]) -> list[Proposals]:
        """Backbone features -> L proposals, the last layer's last."""
        pixels = self.pixel_decoder(features)
        return [
            Proposals(
                self.class_scores.embed(queries),
                convolve_kernels(self.mask_embed(queries), pixels),
            )
            for queries in self.transformer_decoder(features[self.memory_feature])
        ]

    def class_logits(self, embeddings: Tensor, text: Tensor, stage: int = -1) -> Tensor:
        """Embeddings (…,N,E), text (K,E) -> logits (…,N,K+1) float32, the same for every layer."""
        return self.class_scores(embeddings, text)


def _check(settings: CfgNode, head: CfgNode) -> None:
    """Raises UserError for features that are not read, and widths that do not go together."""
    if head.CLASS_FEATURES:
        raise UserError(
            f"MODEL.SEM_SEG_HEAD.CLASS_FEATURES is {list(head.CLASS_FEATURES)}, but "
            "ZSMaskFormerHead scores its queries: set it to []"
        )
    if settings.DIM % 4 or settings.DIM % settings.NUM_HEADS:
        raise UserError(
            f"MODEL.MASK_FORMER.DIM is {settings.DIM}, but has to be a multiple of 4 and of "
            f"MODEL.MASK_FORMER.NUM_HEADS {settings.NUM_HEADS}"
        )
    check_norm_width(head.NORM, "MASK_FORMER.CONV_DIM", settings.CONV_DIM)
