"""Hungarian matching of the N proposals to an image's segments (section 5; DETR's scheme).

Shape letters: N proposals, G segments, K classes, h x w masks, P = h*w.
"""

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from zsk.data.targets import Segments

from .losses import pairwise_dice, pairwise_focal


class HungarianMatcher(nn.Module):
    """The one-to-one assignment of least class + focal + dice cost."""

    def __init__(self, class_weight: float, focal_weight: float, dice_weight: float):
        super().__init__()
        self.class_weight = class_weight
        self.focal_weight = focal_weight
        self.dice_weight = dice_weight

    @torch.no_grad()
    def forward(self, logits: Tensor, masks: Tensor, segments: Segments) -> tuple[Tensor, Tensor]:
        """Match one image.

        Args:
            logits: (N,K+1) class logits, no-object last.
            masks: (N,h,w) mask logits.
            segments: the image's, at any resolution; taken to h x w by nearest neighbour.
        Returns:
            proposal indices and segment indices, both (min(N,G),) int64 on the CPU.
        Raises:
            FloatingPointError: where a cost is not finite (the solver would fail obscurely).
        """
        with torch.autocast(device_type=masks.device.type, enabled=False):
            cost = self.costs(logits.float(), masks.float(), segments).cpu()
        if not torch.isfinite(cost).all():
            raise FloatingPointError("matching costs are not finite")
        rows, columns = linear_sum_assignment(cost.numpy())
        return torch.as_tensor(rows), torch.as_tensor(columns)

    def costs(self, logits: Tensor, masks: Tensor, segments: Segments) -> Tensor:
        """(N,K+1), (N,h,w) float32 -> (N,G)."""
        size = masks.shape[-2:]
        targets = nearest_masks(segments.masks, size).flatten(1)
        valid = nearest_masks(segments.valid[None], size).flatten()
        flat = masks.flatten(1)
        # DETR's choice: minus the probability instead of its log, which bounds the class cost
        return (
            -self.class_weight * logits.softmax(dim=-1)[:, segments.labels]
            + self.focal_weight * pairwise_focal(flat, targets, valid)
            + self.dice_weight * pairwise_dice(flat, targets, valid)
        )


def nearest_masks(masks: Tensor, size: torch.Size) -> Tensor:
    """Nearest-neighbour resize: (G,H,W) bool -> (G,h,w) float32."""
    if masks.shape[0] == 0:
        return masks.new_zeros((0, *size), dtype=torch.float32)
    return F.interpolate(masks[None].float(), size=size, mode="nearest")[0]
