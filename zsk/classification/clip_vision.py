"""Features of a whole photo from CLIP's image towers, weights unchanged.

Letters: H×W photo, p side of a patch in pixels, h×w grid of patches and P = h·w, R regions, C width
of the tower, E width of the shared text and image space. A photo comes normalised and in whole
patches: (3,h·p,w·p), see `fit_to_patches`. Masks are as in VisionLanguageEncoder.encode_regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .clip_patches import (
    merge_heads,
    patch_coverage,
    region_attention,
    resize_positions,
    split_heads,
)


class ClipVision:
    """An image tower `visual` on a whole photo; `patch` is p.

    `dense_attentions`: the values that `dense` takes, see `TransformerVision.dense`.
    """

    patch = 32  # the stride of the last feature map of ResNets and ConvNeXts
    dense_attentions: tuple[str, ...] = ("value",)

    def __init__(self, visual: Any) -> None:
        self.visual = visual

    def dense(self, photo: Tensor, attention: str = "value") -> Tensor:
        """→ (E,h,w) in the tower's precision; `attention` is one of `dense_attentions`."""
        raise NotImplementedError

    def regions(self, photo: Tensor, masks: Tensor) -> Tensor:
        """→ (R,E) in the tower's precision."""
        raise NotImplementedError


class TransformerVision(ClipVision):
    """A vision transformer: `visual` of one of CLIP's ViT models.

    Args:
        visual: the tower.
        masked_layers: at least 1, how many of the last layers give every region a class token of
            its own that sees only the patches under its mask. Before them there is one for all.
    """

    dense_attentions = ("value", "qq_kk")

    def __init__(self, visual: Any, masked_layers: int) -> None:
        super().__init__(visual)
        self.masked_layers = masked_layers
        self.patch = self.visual.conv1.stride[0]

    def dense(self, photo: Tensor, attention: str = "value") -> Tensor:
        """Another attention in the last block, whose residuals and MLP stay.

        Args:
            attention: "value": every patch attends to itself only (MaskCLIP, Zhou et al., ECCV
                2022). "qq_kk": queries attend to queries, and keys to keys, and both outputs are
                added (SCLIP, Wang et al., ECCV 2024), so that patches that look alike share values.
        """
        tokens, size = self._embed(photo)
        *blocks, last = self.visual.transformer.resblocks
        for block in blocks:
            tokens = block(tokens)
        tokens, attn = tokens[:, 0], last.attn
        projected = F.linear(last.ln_1(tokens), attn.in_proj_weight, attn.in_proj_bias)
        attended = projected.chunk(3, dim=1)[2]
        if attention == "qq_kk":
            q, k, v = (split_heads(part, attn.num_heads) for part in projected.chunk(3, dim=1))
            by_query, by_key = (F.scaled_dot_product_attention(x, x, v) for x in (q, k))
            attended = merge_heads(by_query + by_key)
        features = _add_and_mix(last, tokens, attended)[1:]
        return self._project(features).T.unflatten(1, size)

    def regions(self, photo: Tensor, masks: Tensor) -> Tensor:
        """R more queries in the masked layers, to which the patches do not attend.

        A region that covers the photo is a second class token and gets the photo's embedding.
        """
        tokens, size = self._embed(photo)
        blocks = list(self.visual.transformer.resblocks)
        start = max(0, len(blocks) - self.masked_layers)
        for block in blocks[:start]:
            tokens = block(tokens)
        tokens = tokens[:, 0]
        bias = patch_coverage(masks, size).log().to(tokens.dtype)  # nothing covered: -inf
        regions = tokens[:1].expand(len(masks), -1)
        for block in blocks[start:-1]:
            both = _masked_block(block, tokens, regions, bias)
            tokens, regions = both[: len(tokens)], both[len(tokens) :]
        return self._project(_masked_block(blocks[-1], tokens, regions, bias, regions_only=True))

    def _embed(self, photo: Tensor) -> tuple[Tensor, Sequence[int]]:
        """→ (1+P,1,C), the class token and the patches; and (h,w)."""
        visual = self.visual
        features = visual.conv1(photo[None].to(visual.conv1.weight.dtype))[0]
        positions = resize_positions(visual.positional_embedding, features.shape[-2:])
        tokens = torch.cat([visual.class_embedding[None].to(features), features.flatten(1).T])
        return visual.ln_pre(tokens + positions.to(tokens))[:, None], features.shape[-2:]

    def _project(self, tokens: Tensor) -> Tensor:
        return self.visual.ln_post(tokens) @ self.visual.proj


def _masked_block(
    block: Any, tokens: Tensor, regions: Tensor, bias: Tensor, regions_only: bool = False
) -> Tensor:
    """One residual block: (1+P,C) tokens as in CLIP, and (R,C) region tokens under (R,P) `bias`.

    → (1+P+R,C), or the regions alone, (R,C), which is enough after the last block.
    """
    shared = len(tokens)
    attn, both = block.attn, torch.cat([tokens, regions])
    projected = F.linear(block.ln_1(both), attn.in_proj_weight, attn.in_proj_bias)
    q, k, v = (split_heads(part, attn.num_heads) for part in projected.chunk(3, dim=1))
    patches = (k[:, 1:shared], v[:, 1:shared])
    seen = region_attention(q[:, shared:], k[:, shared:], v[:, shared:], patches, bias)
    if regions_only:
        return _add_and_mix(block, regions, seen)
    mixed = F.scaled_dot_product_attention(q[:, :shared], k[:, :shared], v[:, :shared])
    return _add_and_mix(block, both, torch.cat([merge_heads(mixed), seen]))


def _add_and_mix(block: Any, tokens: Tensor, attended: Tensor) -> Tensor:
    """The rest of a residual block after attention; (T,C) each."""
    tokens = tokens + block.attn.out_proj(attended)
    return tokens + block.mlp(block.ln_2(tokens))


class ResNetVision(ClipVision):
    """A ResNet with attention pooling: `visual` of one of CLIP's RN models."""

    def dense(self, photo: Tensor, attention: str = "value") -> Tensor:
        """The pooling's value path at every position (MaskCLIP, Zhou et al., ECCV 2022)."""
        features, pool = self._feature_map(photo), self.visual.attnpool
        values = pool.c_proj(pool.v_proj(features.flatten(1).T))
        return values.T.unflatten(1, features.shape[-2:])

    def regions(self, photo: Tensor, masks: Tensor) -> Tensor:
        """Attention pooling under each mask: the mean under the mask is the query."""
        features, pool = self._feature_map(photo), self.visual.attnpool
        size, patches = features.shape[-2:], features.flatten(1).T
        coverage = patch_coverage(masks, size)
        means = (coverage / coverage.sum(dim=1, keepdim=True)).to(patches.dtype) @ patches
        positions = resize_positions(pool.positional_embedding, size).to(patches.dtype)
        regions, patches = means + positions[0], patches + positions[1:]
        q, k, v, patch_k, patch_v = (
            split_heads(layer(tokens), pool.num_heads)
            for layer, tokens in (
                (pool.q_proj, regions),
                (pool.k_proj, regions),
                (pool.v_proj, regions),
                (pool.k_proj, patches),
                (pool.v_proj, patches),
            )
        )
        bias = coverage.log().to(patches.dtype)
        return pool.c_proj(region_attention(q, k, v, (patch_k, patch_v), bias))

    def _feature_map(self, photo: Tensor) -> Tensor:
        """→ (C,h,w), the input of the attention pooling."""
        visual = self.visual
        x = photo[None].to(visual.conv1.weight.dtype)
        for stem in "123":
            conv, norm = getattr(visual, f"conv{stem}"), getattr(visual, f"bn{stem}")
            x = F.relu(norm(conv(x)))
        x = visual.avgpool(x)
        return visual.layer4(visual.layer3(visual.layer2(visual.layer1(x))))[0]


def clip_vision(visual: nn.Module, masked_layers: int) -> ClipVision:
    """The tower `visual` of an OpenAI CLIP; a ResNet masks its one attention, the pooling."""
    if hasattr(visual, "attnpool"):
        return ResNetVision(visual)
    return TransformerVision(visual, masked_layers)
