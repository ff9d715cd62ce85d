"""What the speed benchmark feeds to models with random weights: a photo, masks, labels, names.

Letters: N masks, h×w masks, H×W photo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zsk.proposals.outputs import Proposals
from zsk.vocabulary import IGNORE_LABEL, Vocabulary

_MASK_SIDE = 96  # pixels of the drawn masks; they are resized to what the head gives
_CELLS = (4, 8, 16, 32)  # of the partitions that the masks are cells of, again and again
_SHARPNESS = 60.0  # logit per image side of distance to the border


def synthetic_photo(size: Sequence[int], seed: int = 0) -> Tensor:
    """(3,H,W) uint8: a gradient of colour under noise. Dense models do not look at what it is."""
    height, width = size
    generator = torch.Generator().manual_seed(seed)
    down = torch.linspace(0, 200, height)[:, None].expand(height, width)
    right = torch.linspace(0, 200, width)[None].expand(height, width)
    image = torch.stack([down, right, (down + right) / 2])
    noise = torch.randint(0, 56, (3, height, width), generator=generator)
    return (image + noise).to(torch.uint8)


def plausible_masks(count: int, side: int = _MASK_SIDE, seed: int = 0) -> Tensor:
    """(N,side,side) float32 logits as a trained head might give them: segments of many sizes.

    The cells of seeded random partitions of the photo into 4, 8, 16, 32, 4, 8, … segments. Each
    cell is what lies nearest to its random centre; the logit is the distance to the border, 0 there
    and positive inside. So most pixels are claimed by several proposals, as they are by a trained
    head's, and every proposal has pixels unless two centres all but coincide.
    """
    generator = torch.Generator().manual_seed(seed)
    axis = (torch.arange(side) + 0.5) / side
    grid = torch.cartesian_prod(axis, axis)  # (side²,2)
    masks: list[Tensor] = []
    while len(masks) < count:
        for cells in _CELLS:
            distances = torch.cdist(torch.rand(cells, 2, generator=generator), grid)
            nearest = distances.topk(2, dim=0, largest=False)
            own = torch.arange(cells)[:, None] == nearest.indices[0]
            rival = torch.where(own, nearest.values[1], nearest.values[0])
            masks += list((rival - distances) * _SHARPNESS)
    return torch.stack(masks[:count]).view(count, side, side)


class PlausibleMasks(nn.Module):
    """A head whose last stage's masks are replaced by `plausible_masks`; it does all of its work.

    A random head's masks say nothing: they may be empty, or all alike, and what follows would take
    less time or more than with a trained one.
    """

    masks: Tensor

    def __init__(self, head: nn.Module, count: int) -> None:
        """`count`: N, the head's."""
        super().__init__()
        self.head = head
        self.register_buffer("masks", plausible_masks(count), persistent=False)

    def forward(self, features: Mapping[str, Tensor], text: Tensor) -> list[Proposals]:
        *stages, (logits, masks) = self.head(features, text)
        drawn = F.interpolate(self.masks[None], size=masks.shape[-2:], mode="bilinear")
        return [*stages, Proposals(logits, drawn.expand(len(masks), -1, -1, -1).to(masks.dtype))]


def segment_labels(size: Sequence[int], classes: int, seed: int = 0) -> Tensor:
    """(H,W) int64 ground truth: a partition into 8 segments of some class, a row ignored."""
    masks = plausible_masks(_CELLS[0] + _CELLS[1], seed=seed)[_CELLS[0] :]
    cells = F.interpolate(masks[None], size=tuple(size), mode="bilinear")[0].argmax(dim=0)
    labels = cells % classes
    labels[0] = IGNORE_LABEL
    return labels


def numbered_names(count: int) -> Vocabulary:
    """`count` names that no model knows, every second one seen."""
    names = [f"thing {number}" for number in range(count)]
    return Vocabulary.from_words(names, trained=names[::2])


def damp_residuals(backbone: nn.Module) -> None:
    """Scale what each residual block of a random ResNet adds down, in place.

    With frozen norms that normalise nothing, 33 blocks of random weights would double the values 33
    times: half precision overflows.
    """
    for name, module in backbone.named_modules():
        if name.endswith("conv3.norm"):
            weight: Any = module.weight
            weight.data.fill_(0.2)
