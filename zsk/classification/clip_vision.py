"""One look at a photo with CLIP's own image towers, weights unchanged.

Letters: H×W photo, p side of a patch in pixels, h×w grid of patches and P = h·w, C width of the
tower, E width of the shared text and image space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ClipVision(Protocol):
    """What an image tower answers about a whole photo."""

    def dense(self, photo: Tensor) -> Tensor:
        """(3,H,W) float32, normalised → (E,h,w) in the tower's precision."""


class TransformerVision:
    """A vision transformer: `visual` of one of CLIP's ViT models."""

    def __init__(self, visual: nn.Module) -> None:
        self.visual: Any = visual

    def dense(self, photo: Tensor) -> Tensor:
        """In the last block every patch attends to itself only (MaskCLIP, Zhou et al., ECCV 2022).

        No query, no key: attention is the value and the output projection. Residuals and MLP stay.
        """
        tokens, (h, w) = self._embed(photo)
        *blocks, last = self.visual.transformer.resblocks
        for block in blocks:
            tokens = block(tokens)
        patches = tokens[1:, 0]
        weight, bias = (
            part.chunk(3)[2] for part in (last.attn.in_proj_weight, last.attn.in_proj_bias)
        )
        patches = patches + last.attn.out_proj(F.linear(last.ln_1(patches), weight, bias))
        patches = patches + last.mlp(last.ln_2(patches))
        return (self.visual.ln_post(patches) @ self.visual.proj).T.unflatten(1, (h, w))

    def _embed(self, photo: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """(3,H,W) → (1+P,1,C), the class token and the patches; and (h,w)."""
        visual = self.visual
        pixels = fit_to_patches(photo, visual.conv1.stride[0]).to(visual.conv1.weight.dtype)
        features = visual.conv1(pixels[None])[0]
        positions = resize_positions(visual.positional_embedding, features.shape[-2:])
        tokens = torch.cat([visual.class_embedding[None].to(features), features.flatten(1).T])
        return visual.ln_pre(tokens + positions.to(tokens))[:, None], features.shape[-2:]


class ResNetVision:
    """A ResNet with attention pooling: `visual` of one of CLIP's RN models."""

    STRIDE = 32  # of the last feature map

    def __init__(self, visual: nn.Module) -> None:
        self.visual: Any = visual

    def dense(self, photo: Tensor) -> Tensor:
        """The pooling's value path at every position (MaskCLIP, Zhou et al., ECCV 2022)."""
        features, pool = self._feature_map(photo), self.visual.attnpool
        values = pool.c_proj(pool.v_proj(features.flatten(1).T))
        return values.T.unflatten(1, features.shape[-2:])

    def _feature_map(self, photo: Tensor) -> Tensor:
        """(3,H,W) → (C,h,w), what the attention pooling is given."""
        visual = self.visual
        x = fit_to_patches(photo, self.STRIDE)[None].to(visual.conv1.weight.dtype)
        for stem in "123":
            conv, norm = getattr(visual, f"conv{stem}"), getattr(visual, f"bn{stem}")
            x = F.relu(norm(conv(x)))
        x = visual.avgpool(x)
        return visual.layer4(visual.layer3(visual.layer2(visual.layer1(x))))[0]


def clip_vision(visual: nn.Module) -> ClipVision:
    """The tower `visual` of an OpenAI CLIP, a vision transformer or a ResNet."""
    return ResNetVision(visual) if hasattr(visual, "attnpool") else TransformerVision(visual)


def fit_to_patches(photo: Tensor, patch: int) -> Tensor:
    """(3,H,W) → (3,h·p,w·p), resized to the nearest whole number of patches, at least one.

    Not padded: the grid then covers the photo and nothing else, and no patch sees an edge that is
    not there. The aspect changes by less than half a patch.
    """
    size = [patch * max(1, round(side / patch)) for side in photo.shape[-2:]]
    if list(photo.shape[-2:]) == size:
        return photo
    return F.interpolate(photo[None], size, mode="bicubic", antialias=True)[0]


def resize_positions(positions: Tensor, size: Sequence[int]) -> Tensor:
    """(1+g²,C), a token without a place and a g×g grid → (1+h·w,C): bicubic, itself for g×g."""
    side = round((len(positions) - 1) ** 0.5)
    if list(size) == [side, side]:
        return positions
    grid = positions[1:].T.unflatten(1, (side, side))[None]
    resized = F.interpolate(grid, list(size), mode="bicubic", antialias=True)
    return torch.cat([positions[:1], resized[0].flatten(1).T])
