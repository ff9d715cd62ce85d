"""The training criterion: names and weights of all losses (section 5).

Shape letters: B images, N proposals, T segments of them all, M matched pairs, K classes,
h x w masks, H x W labels.
"""

from collections.abc import Sequence

import torch
from detectron2.utils import comm
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zsk.data.targets import SegmentBatch, Segments
from zsk.vocabulary import ignore_label

from .losses import class_loss, mask_losses
from .matcher import HungarianMatcher, Matches
from .outputs import ScoredProposals


class SetCriterion(nn.Module):
    """Matches the proposals of every stage to the segments; class, focal and dice losses."""

    def __init__(
        self,
        *,
        class_weight: float,
        focal_weight: float,
        dice_weight: float,
        no_object_weight: float,
        ignore_aware: bool,
        region_purity: float = 0.0,
    ):
        """
        Args:
            no_object_weight: weight of the no-object class inside the cross-entropy.
            ignore_aware: pixels without a label take no part in mask losses and costs; if False,
                they are negatives, as in the public baseline.
            region_purity: over 0, an unmatched proposal whose mask covers one class with at least
                this share learns that class instead of no-object, and one on unlabelled pixels
                learns nothing if `ignore_aware` (a choice of this project, see `region_classes`).
                0: the method.
        """
        super().__init__()
        self.matcher = HungarianMatcher(class_weight, focal_weight, dice_weight)
        self.weights = {
            "loss_class": class_weight,
            "loss_focal": focal_weight,
            "loss_dice": dice_weight,
        }
        self.no_object_weight = no_object_weight
        self.ignore_aware = ignore_aware
        self.region_purity = region_purity

    def forward(
        self,
        stages: Sequence[ScoredProposals],
        segments: Sequence[Segments],
        image_names: Sequence[str],
    ) -> dict[str, Tensor]:
        """Scored proposals of S+1 stages, segments of B images -> weighted losses by name.

        Names are loss_class, loss_focal, loss_dice for the last stage, with the suffix _0, _1 … for
        the stages before it. All label maps have one size. `image_names` (B) are for the message.

        Raises:
            FloatingPointError: a matching cost is not finite.
        """
        batch = SegmentBatch.from_images(segments)
        if not self.ignore_aware:
            batch = batch._replace(valid=torch.ones_like(batch.valid))
        num_segments = _mean_over_processes(len(batch.labels), batch.labels.device)
        sizes = [proposals.pred_masks.shape[-2:] for proposals in stages]
        resized = {size: batch.resized(size) for size in set(sizes)}
        small = [resized[size] for size in sizes]
        matches = self.matcher(stages, small, image_names)
        losses = {}
        for number, proposals in enumerate(stages):
            # half precision cannot count pixels
            with torch.autocast(device_type=proposals.pred_masks.device.type, enabled=False):
                classes = self.unmatched_classes(proposals, small[number])
                values = self.stage_losses(proposals, batch, matches[number], classes, num_segments)
            suffix = "" if number == len(stages) - 1 else f"_{number}"
            losses.update({name + suffix: self.weights[name] * v for name, v in values.items()})
        return losses

    @torch.no_grad()
    def unmatched_classes(self, proposals: ScoredProposals, segments: SegmentBatch) -> Tensor:
        """(B,N) class targets of unmatched proposals: no-object, or `region_classes`.

        The segments are at the resolution of the masks.
        """
        shape = proposals.pred_logits.shape
        no_object = shape[-1] - 1
        if self.region_purity <= 0:
            return torch.full(shape[:2], no_object, device=proposals.pred_logits.device)
        targets = [
            region_classes(masks.float(), target, self.region_purity, no_object)
            for masks, target in zip(proposals.pred_masks, segments.images())
        ]
        return torch.stack(targets)

    def stage_losses(
        self,
        proposals: ScoredProposals,
        segments: SegmentBatch,
        matches: Matches,
        classes: Tensor,
        num_segments: Tensor,
    ) -> dict[str, Tensor]:
        """Unweighted losses of one stage, by name; `classes` (B,N) as from `unmatched_classes`."""
        classes = classes.index_put(
            (matches.images, matches.proposals), segments.labels[matches.segments]
        )
        logits = proposals.pred_logits.float().flatten(0, 1)
        if len(matches.images):
            # Computed again in backward: a dozen maps at the labels' resolution for every pair and
            # stage would fill the memory of a GPU.
            focal, dice = checkpoint(
                mask_losses,
                proposals.pred_masks[matches.images, matches.proposals].float(),
                segments.masks[matches.segments],
                segments.valid[matches.images],
                use_reentrant=False,
            )
        else:
            focal = dice = proposals.pred_masks.float().sum() * 0.0  # in the graph
        return {
            "loss_class": class_loss(logits, classes.flatten(), self.no_object_weight),
            "loss_focal": focal.sum() / num_segments,
            "loss_dice": dice.sum() / num_segments,
        }


def region_classes(masks: Tensor, segments: Segments, purity: float, no_object: int) -> Tensor:
    """The class that each proposal's mask lies on: masks (N,h,w) logits -> (N,) int64.

    The segments are at h x w. A mask with at least the share `purity` of its labelled pixels on one
    class gets that class (UNNAMED for a segment without a name), and a mixed mask gets `no_object`.
    A mask with less than half of its pixels labelled gets the ignore label: it may cover an unseen
    class, which must not be learned as no-object. One-to-one matching leaves most proposals without
    a class; clusters overlap on purpose, so each of them is given its class.
    """
    inside = (masks > 0).flatten(1).float()
    labelled = inside @ segments.valid.flatten().float()
    classes = torch.full((len(masks),), no_object, device=masks.device)
    if len(segments.labels):
        covered = inside @ segments.masks.flatten(1).float().T
        shares, best = (covered / labelled[:, None].clamp(min=1)).max(dim=1)
        classes = torch.where(shares >= purity, segments.labels[best], classes)
    mostly_unlabelled = labelled * 2 < inside.sum(dim=1)
    return classes.masked_fill(mostly_unlabelled, ignore_label(no_object + 1))


def _mean_over_processes(count: int, device: torch.device) -> Tensor:
    """The number of segments per process, at least 1: what mask losses are divided by."""
    # on the device, so that a GPU is not waited for
    total = torch.full((), float(count), device=device)
    processes = comm.get_world_size()
    if processes > 1:
        torch.distributed.all_reduce(total)
    return (total / processes).clamp(min=1)
