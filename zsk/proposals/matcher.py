"""Hungarian matching of the N proposals to an image's segments (section 5; DETR's scheme).

Shape letters: B images, N proposals, T segments of them all, G the most of one image, M matched
pairs, h x w masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from zsk.data.targets import UNNAMED, SegmentBatch

from .losses import pairwise_mask_losses
from .outputs import ScoredProposals


class Matches(NamedTuple):
    """One stage's M pairs in all images, (M,) int64 each; an image of G segments has min(N,G)."""

    images: Tensor
    proposals: Tensor
    segments: Tensor  # among the T of the batch


@dataclass(frozen=True)
class HungarianMatcher:
    """The one-to-one assignment of least class + focal + dice cost."""

    class_weight: float
    focal_weight: float
    dice_weight: float

    @torch.no_grad()
    def __call__(
        self,
        stages: Sequence[ScoredProposals],
        segments: Sequence[SegmentBatch],
        image_names: Sequence[str],
    ) -> list[Matches]:
        """Match every stage.

        Args:
            stages: proposals of B images, N the same in all stages.
            segments: for each stage those of the batch, at the resolution of the stage's masks.
            image_names: B, for the message.
        Returns:
            a stage's matches each, on the proposals' device.
        Raises:
            FloatingPointError: a cost is not finite; the message names the image.
        """
        device = stages[0].pred_masks.device
        with torch.autocast(device_type=device.type, enabled=False):
            costs = [self.costs(*pair) for pair in zip(stages, segments, strict=True)]
        # one copy each way for all stages and images, so a GPU is waited for only once
        pairs = [
            _assign(stage, segments[0].counts, image_names) for stage in torch.stack(costs).cpu()
        ]
        return [Matches(*stage) for stage in torch.stack(pairs).to(device)]

    def costs(self, proposals: ScoredProposals, segments: SegmentBatch) -> Tensor:
        """The costs of one stage, (B,N,G) float32; those of padding are meaningless."""
        labels, masks = segments.padded()
        focal, dice = pairwise_mask_losses(
            proposals.pred_masks.float().flatten(2),
            masks.flatten(2).float(),
            segments.valid.flatten(1).float(),
        )
        probs = proposals.pred_logits.float().softmax(dim=-1)
        labels = labels[:, None].expand(-1, probs.shape[1], -1)
        # a segment without a name may be any class but no-object
        named = torch.where(
            labels == UNNAMED,
            probs[..., :-1].sum(dim=-1, keepdim=True),
            probs.gather(2, labels.clamp(min=0)),
        )
        # DETR takes minus the probability instead of its log, which bounds the class cost
        return -self.class_weight * named + self.focal_weight * focal + self.dice_weight * dice


def _assign(costs: Tensor, counts: Sequence[int], image_names: Sequence[str]) -> Tensor:
    """One stage's costs (B,N,G) on the CPU -> (3,M) int64: images, proposals, segments."""
    from scipy.optimize import linear_sum_assignment  # only training needs it

    pairs, first = [torch.empty((3, 0), dtype=torch.int64)], 0
    for i, (cost, count, name) in enumerate(zip(costs, counts, image_names, strict=True)):
        cost = cost[:, :count]
        if not torch.isfinite(cost).all():
            raise FloatingPointError(f"matching costs are not finite for image {name}")
        rows, columns = map(torch.as_tensor, linear_sum_assignment(cost.numpy()))
        pairs.append(torch.stack([torch.full_like(rows, i), rows, columns + first]))
        first += count
    return torch.cat(pairs, dim=1)
