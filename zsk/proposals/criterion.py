"""The training criterion: names and weights of all losses live here and nowhere else (section 5).

Shape letters: B images, N proposals, T segments of them all, M matched pairs, K classes,
h x w masks, H x W labels.
"""

from collections.abc import Sequence

import torch
from detectron2.utils import comm
from torch import Tensor, nn

from zsk.data.targets import Segments
from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL

from .losses import class_loss, mask_losses
from .matcher import HungarianMatcher, Matches
from .outputs import Proposals
from .point_sampling import labels_at, logits_at, random_points, segments_at, uncertain_points
from .segment_batch import SegmentBatch


class SetCriterion(nn.Module):
    """Matches every stage's proposals to the segments, then class, focal and dice losses."""

    def __init__(
        self,
        matcher: HungarianMatcher,
        *,
        class_weight: float,
        focal_weight: float,
        dice_weight: float,
        no_object_weight: float,
        deep_supervision: bool,
        ignore_aware: bool,
        region_purity: float = 0.0,
        num_points: int = 0,
    ):
        """
        Args:
            no_object_weight: weight of the no-object class inside the cross-entropy.
            deep_supervision: supervise every stage, M_0 included; else the last one alone.
            ignore_aware: pixels without a label take no part in mask losses and costs; off, they
                count as negatives, as in the public baseline.
            region_purity: over 0, an unmatched proposal whose mask lies on one class with at least
                this share learns that class instead of no-object, and one that lies on unlabelled
                pixels learns nothing (our choice, see `region_classes`). 0: the method's targets.
            num_points: over 0, costs and mask losses are taken at so many points of a mask (P)
                instead of at all pixels: costs and region classes at uniform ones, the same for
                all proposals of an image, losses mostly at uncertain ones (`uncertain_points`).
        Raises:
            UserError: `num_points` is negative.
        """
        super().__init__()
        if num_points < 0:
            raise UserError(
                f"MODEL.CRITERION.NUM_POINTS is {num_points}: give a number of points, or 0 for "
                "all pixels"
            )
        self.matcher = matcher
        self.weights = {
            "loss_class": class_weight,
            "loss_focal": focal_weight,
            "loss_dice": dice_weight,
        }
        self.no_object_weight = no_object_weight
        self.deep_supervision = deep_supervision
        self.ignore_aware = ignore_aware
        self.region_purity = region_purity
        self.num_points = num_points

    def forward(
        self, stages: Sequence[Proposals], segments: Sequence[Segments], image_names: Sequence[str]
    ) -> dict[str, Tensor]:
        """S+1 stages of B images' proposals, B images' segments -> weighted losses by name.

        Names are loss_class, loss_focal, loss_dice for the last stage, with _0, _1 … added for the
        stages before it. The segments' maps have one size. `image_names` are for the message of the
        FloatingPointError raised when a cost is not finite.
        """
        batch = SegmentBatch.from_images(segments)
        if not self.ignore_aware:
            batch = batch._replace(valid=torch.ones_like(batch.valid))
        num_segments = _mean_over_processes(len(batch.labels), stages[-1])
        supervised = stages if self.deep_supervision else stages[-1:]
        compared, small = self.comparable(supervised, batch)
        matches = self.matcher(compared, small, image_names)
        losses = {}
        for number, proposals in enumerate(supervised):
            classes = self.unmatched_classes(compared[number], small[number])
            with torch.autocast(device_type=proposals.pred_masks.device.type, enabled=False):
                values = self.stage_losses(proposals, batch, matches[number], classes, num_segments)
            suffix = "" if number == len(supervised) - 1 else f"_{number}"
            losses.update({name + suffix: self.weights[name] * v for name, v in values.items()})
        if not self.deep_supervision:
            # the class scores of the other stages stay in the graph, as distributed training wants
            unused = [proposals.pred_logits.sum() for proposals in stages[:-1]]
            losses["loss_class"] = losses["loss_class"] + 0.0 * sum(unused)
        return losses

    @torch.no_grad()
    def comparable(
        self, stages: Sequence[Proposals], segments: SegmentBatch
    ) -> tuple[list[Proposals], list[SegmentBatch]]:
        """Stages and the batch's segments for each of them, maps of one size: what is matched.

        The masks' resolution, or P points of every image, which its stages share.
        """
        if not self.num_points:
            return list(stages), _at_mask_size(segments, stages)
        points = random_points(len(segments.counts), self.num_points, segments.valid.device)
        sampled = [
            proposals._replace(pred_masks=logits_at(proposals.pred_masks.float(), points))
            for proposals in stages
        ]
        return sampled, [segments_at(segments, points)] * len(sampled)

    @torch.no_grad()
    def unmatched_classes(self, proposals: Proposals, segments: SegmentBatch) -> Tensor:
        """(B,N) class targets before matching has its say: no-object, or `region_classes`.

        Proposals and segments are `comparable`.
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
        proposals: Proposals,
        segments: SegmentBatch,
        matches: Matches,
        classes: Tensor,
        num_segments: float | Tensor,
    ) -> dict[str, Tensor]:
        """Unweighted losses of one stage, by name; `classes` (B,N) as from `unmatched_classes`."""
        classes = classes.index_put(
            (matches.images, matches.proposals), segments.labels[matches.segments]
        )
        logits = proposals.pred_logits.float().flatten(0, 1)
        focal, dice = self.matched_mask_losses(proposals.pred_masks, segments, matches)
        return {
            "loss_class": class_loss(logits, classes.flatten(), self.no_object_weight),
            "loss_focal": focal / num_segments,
            "loss_dice": dice / num_segments,
        }

    def matched_mask_losses(
        self, masks: Tensor, segments: SegmentBatch, matches: Matches
    ) -> tuple[Tensor, Tensor]:
        """Sums of focal and dice losses over the M pairs; masks (B,N,h,w) logits."""
        if len(matches.images) == 0:
            zero = masks.float().sum() * 0.0  # in the graph
            return zero, zero
        chosen = masks.flatten(0, 1).index_select(
            0, matches.images * masks.shape[1] + matches.proposals
        )
        chosen = chosen.float()
        if self.num_points:
            points = uncertain_points(chosen, segments.valid, matches.images, self.num_points)
            targets = labels_at(segments.masks, matches.segments, points)
            valid = labels_at(segments.valid, matches.images, points)
            each = torch.arange(len(chosen), device=chosen.device)
            logits = logits_at(chosen[:, None], points)[:, 0]
            focal, dice = mask_losses(logits, targets, valid, each, each)
        else:
            # at the labels' resolution: small segments survive there
            focal, dice = mask_losses(
                chosen, segments.masks, segments.valid, matches.segments, matches.images
            )
        return focal.sum(), dice.sum()


def region_classes(masks: Tensor, segments: Segments, purity: float, no_object: int) -> Tensor:
    """The class that each proposal's mask lies on: masks (N,h,w) logits -> (N,) int64.

    The segments are at h x w. A mask with at least the share `purity` of its labelled pixels on one
    class gets that class, a mixed one `no_object`, and one with less than half of its pixels
    labelled IGNORE_LABEL: it may lie on an unseen class, which must not be learnt to be nothing. On
    a segment without a name that is UNNAMED.
    One-to-one matching leaves most proposals without a class; where they overlap on purpose
    (clusters), their names count too.
    """
    inside = (masks > 0).flatten(1).float()
    labelled = inside @ segments.valid.flatten().float()
    classes = torch.full((len(masks),), no_object, device=masks.device)
    if len(segments.labels):
        covered = inside @ segments.masks.flatten(1).float().T
        shares, best = (covered / labelled[:, None].clamp(min=1)).max(dim=1)
        classes = torch.where(shares >= purity, segments.labels[best], classes)
    mostly_unlabelled = labelled * 2 < inside.sum(dim=1)
    return classes.masked_fill(mostly_unlabelled, IGNORE_LABEL)


def _at_mask_size(segments: SegmentBatch, stages: Sequence[Proposals]) -> list[SegmentBatch]:
    """The segments at the resolution of each stage's masks, resized once for each that occurs."""
    sizes = [proposals.pred_masks.shape[-2:] for proposals in stages]
    resized = {size: segments.resized(size) for size in set(sizes)}
    return [resized[size] for size in sizes]


def _mean_over_processes(count: int, like: Proposals) -> float | Tensor:
    """The number of segments per process, at least 1: what mask losses are divided by.

    It stays on the device when there are other processes, so that a GPU is not waited for.
    """
    processes = comm.get_world_size()
    if processes == 1:
        return max(float(count), 1.0)
    total = torch.tensor(float(count), device=like.pred_masks.device)
    torch.distributed.all_reduce(total)
    return (total / processes).clamp(min=1.0)
