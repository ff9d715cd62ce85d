"""Features of a whole photo from CLIP's image towers, weights unchanged.

Letters: B photos, H×W photo, p side of a patch in pixels, h×w grid of patches and P = h·w, R
regions, C width of the tower, E width of the shared text and image space. A photo comes normalised
and in whole patches: (3,h·p,w·p), see `fit_to_patches`. Masks are as in
VisionLanguageEncoder.encode_sight.
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
from .sight import Sight

MASKED_LAYERS = 4
"""How many of a vision transformer's last layers give every region a class token of its own, which
sees only the patches under its mask; a choice of this project. Before them, one token is shared."""


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
        (features,) = self.see(photo[None]).photo(0).regions
        return self._project(features.flatten(1).T).T.unflatten(1, features.shape[-2:])

    def see(self, photos: Tensor) -> Sight:
        """(B,3,h·p,w·p) → levels res2 to res5, and what `regions` reads; in its precision."""
        raise NotImplementedError

    def regions(self, sight: Sight, masks: Tensor) -> Tensor:
        """One photo's `see` → (R,E) in the tower's precision."""
        raise NotImplementedError

    def _project(self, tokens: Tensor) -> Tensor:
        """(R,C) of single places or pooled → (R,E)."""
        raise NotImplementedError


class TransformerVision(ClipVision):
    """A vision transformer: `visual` of one of CLIP's ViT models."""

    dense_attentions = ("value", "qq_kk")

    def __init__(self, visual: Any) -> None:
        super().__init__(visual)
        self.patch = self.visual.conv1.stride[0]

    def dense(self, photo: Tensor, attention: str = "value") -> Tensor:
        """Another attention in the last block, whose residuals and MLP stay.

        Args:
            attention: "value": every patch attends to itself only (MaskCLIP, Zhou et al., ECCV
                2022). "qq_kk": queries attend to queries, and keys to keys, and both outputs are
                added (SCLIP, Wang et al., ECCV 2024), so that patches that look alike share values.
        """
        tokens, size = self._embed(photo[None])
        *blocks, last = self.visual.transformer.resblocks
        for block in blocks:
            tokens = block(tokens)
        tokens, attn = tokens[:, 0], last.attn
        parts = F.linear(last.ln_1(tokens), attn.in_proj_weight, attn.in_proj_bias).chunk(3, dim=1)
        attended = parts[2]
        if attention == "qq_kk":
            q, k, v = (split_heads(part, attn.num_heads) for part in parts)
            by_query, by_key = (F.scaled_dot_product_attention(x, x, v) for x in (q, k))
            attended = merge_heads(by_query + by_key)
        features = _add_and_mix(last, tokens, attended)[1:]
        return self._project(features).T.unflatten(1, size)

    def see(self, photos: Tensor) -> Sight:
        """Levels are the patches after each quarter of the blocks, all on the grid of patches.

        The last quarter ends before the last block, whose patches nothing reads. `regions` are the
        tokens (B,1+P,C) before each of the MASKED_LAYERS.
        """
        tokens, size = self._embed(photos)
        before = [tokens]  # each block
        for block in self.visual.transformer.resblocks[:-1]:
            before.append(block(before[-1]))
        depth = len(before)
        quarters = {f"res{i + 1}": min(round(i * depth / 4), depth - 1) for i in (1, 2, 3, 4)}
        levels = {
            name: before[block][1:].permute(1, 2, 0).unflatten(2, size)
            for name, block in quarters.items()
        }
        masked = tuple(x.transpose(0, 1) for x in before[-MASKED_LAYERS:])
        return Sight(levels, masked, size)

    def regions(self, sight: Sight, masks: Tensor) -> Tensor:
        """R more queries in the masked layers, to which the patches do not attend.

        A region that covers the photo is a second class token and gets the photo's embedding.
        """
        first = sight.regions[0]
        bias = patch_coverage(masks, sight.grid).log().to(first.dtype)  # nothing covered: -inf
        regions = first[:1].expand(len(masks), -1)
        blocks = self.visual.transformer.resblocks[-len(sight.regions) :]
        for block, tokens in zip(blocks, sight.regions):
            regions = _region_block(block, tokens[1:], regions, bias)
        return self._project(regions)

    def _embed(self, photos: Tensor) -> tuple[Tensor, Sequence[int]]:
        """(B,3,h·p,w·p) → (1+P,B,C), the class token and the patches; and (h,w)."""
        visual = self.visual
        features = visual.conv1(photos.to(visual.conv1.weight.dtype))
        positions = resize_positions(visual.positional_embedding, features.shape[-2:])
        first = visual.class_embedding.to(features).expand(len(photos), 1, -1)
        tokens = torch.cat([first, features.flatten(2).transpose(1, 2)], dim=1)
        return visual.ln_pre(tokens + positions.to(tokens)).transpose(0, 1), features.shape[-2:]

    def _project(self, tokens: Tensor) -> Tensor:
        return self.visual.ln_post(tokens) @ self.visual.proj


def _region_block(block: Any, patches: Tensor, regions: Tensor, bias: Tensor) -> Tensor:
    """One residual block for (R,C) region tokens, which see (P,C) patches under (R,P) `bias`."""
    attn = block.attn
    weight, shift, width = attn.in_proj_weight, attn.in_proj_bias, regions.shape[1]
    own = F.linear(block.ln_1(regions), weight, shift).chunk(3, dim=1)
    seen = F.linear(block.ln_1(patches), weight[width:], shift[width:]).chunk(2, dim=1)
    return _add_and_mix(block, regions, region_attention(own, seen, bias, attn.num_heads))


def _add_and_mix(block: Any, tokens: Tensor, attended: Tensor) -> Tensor:
    """The rest of a residual block after attention; (T,C) each."""
    tokens = tokens + block.attn.out_proj(attended)
    return tokens + block.mlp(block.ln_2(tokens))


class ResNetVision(ClipVision):
    """A ResNet with attention pooling: `visual` of one of CLIP's RN models."""

    def see(self, photos: Tensor) -> Sight:
        """Levels are the four stages, the last of which the attention pooling reads."""
        visual = self.visual
        x = photos.to(visual.conv1.weight.dtype)
        for stem in "123":
            conv, norm = getattr(visual, f"conv{stem}"), getattr(visual, f"bn{stem}")
            x = F.relu(norm(conv(x)))
        x = visual.avgpool(x)
        levels = {}
        for stage in "1234":
            x = levels[f"res{int(stage) + 1}"] = getattr(visual, f"layer{stage}")(x)
        return Sight(levels, (x,), x.shape[-2:])

    def regions(self, sight: Sight, masks: Tensor) -> Tensor:
        """Attention pooling under each mask: the mean under the mask is the query."""
        (features,), pool = sight.regions, self.visual.attnpool
        size, patches = features.shape[-2:], features.flatten(1).T
        coverage = patch_coverage(masks, size)
        means = (coverage / coverage.sum(dim=1, keepdim=True)).to(patches.dtype) @ patches
        positions = resize_positions(pool.positional_embedding, size).to(patches.dtype)
        regions, patches = means + positions[0], patches + positions[1:]
        own = [layer(regions) for layer in (pool.q_proj, pool.k_proj, pool.v_proj)]
        seen = [layer(patches) for layer in (pool.k_proj, pool.v_proj)]
        bias = coverage.log().to(patches.dtype)
        return pool.c_proj(region_attention(own, seen, bias, pool.num_heads))

    def _project(self, tokens: Tensor) -> Tensor:
        """The pooling's value path (MaskCLIP, Zhou et al., ECCV 2022)."""
        return self.visual.attnpool.c_proj(self.visual.attnpool.v_proj(tokens))


def clip_vision(visual: nn.Module) -> ClipVision:
    """The tower `visual` of an OpenAI CLIP; a ResNet masks its one attention, the pooling."""
    if hasattr(visual, "attnpool"):
        return ResNetVision(visual)
    return TransformerVision(visual)
