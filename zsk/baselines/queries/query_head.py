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

from zsk.proposals.build import build_vector_scores
from zsk.proposals.class_scores import ClassScores, mlp
from zsk.proposals.masks import convolve_kernels
from zsk.proposals.outputs import Proposals
from zsk.proposals.pixel_decoder import PixelDecoder

from .build_query_head import build_pixel_decoder, build_transformer_decoder, check_query_settings
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
        settings = cfg.MODEL.MASK_FORMER
        check_query_settings(cfg, input_shape)
        return {
            "pixel_decoder": build_pixel_decoder(cfg, input_shape),
            "transformer_decoder": build_transformer_decoder(cfg, input_shape),
            "memory_feature": cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES[-1],
            "mask_embed": mlp(settings.DIM, [settings.DIM, settings.DIM], settings.MASK_DIM),
            "class_scores": build_vector_scores(cfg.MODEL.SEM_SEG_HEAD, settings.DIM, embed_dim),
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
