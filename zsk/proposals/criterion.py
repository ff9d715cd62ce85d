"""The training criterion: names and weights of all losses live here and nowhere else (section 5).

Shape letters: B images, N proposals, G segments, K classes, h x w masks, H x W labels.
"""

from collections.abc import Sequence

import torch
from detectron2.utils import comm
from torch import Tensor, nn

from zsk.data.targets import Segments
from zsk.vocabulary import IGNORE_LABEL

from .losses import class_loss, dice_loss, focal_loss
from .masks import resize_masks
from .matcher import HungarianMatcher, nearest_masks
from .outputs import Proposals

Match = tuple[Tensor, Tensor]


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
        """
        super().__init__()
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

    def forward(
        self, stages: Sequence[Proposals], segments: Sequence[Segments], image_names: Sequence[str]
    ) -> dict[str, Tensor]:
        """S+1 stages of B images' proposals, B images' segments -> weighted losses by name.

        Names are loss_class, loss_focal, loss_dice for the last stage, with _0, _1 … added for the
        stages before it. `image_names` are for the message of the FloatingPointError raised when a
        cost is not finite.
        """
        if not self.ignore_aware:
            segments = [s._replace(valid=torch.ones_like(s.valid)) for s in segments]
        num_segments = _mean_over_processes(sum(len(s.labels) for s in segments), stages[-1])
        last = len(stages) - 1
        losses = {}
        for number, proposals in enumerate(stages):
            if number < last and not self.deep_supervision:
                continue
            matches = self.match(proposals, segments, image_names)
            suffix = "" if number == last else f"_{number}"
            with torch.autocast(device_type=proposals.pred_masks.device.type, enabled=False):
                values = self.stage_losses(proposals, segments, matches, num_segments)
            losses.update({name + suffix: self.weights[name] * v for name, v in values.items()})
        if not self.deep_supervision:
            # the class scores of the other stages stay in the graph, as distributed training wants
            unused = [proposals.pred_logits.sum() for proposals in stages[:-1]]
            losses["loss_class"] = losses["loss_class"] + 0.0 * sum(unused)
        return losses

    def match(
        self, proposals: Proposals, segments: Sequence[Segments], image_names: Sequence[str]
    ) -> list[Match]:
        """One stage's matches, an image at a time."""
        matches = []
        for logits, masks, target, name in zip(*proposals, segments, image_names, strict=True):
            try:
                matches.append(self.matcher(logits, masks, target))
            except FloatingPointError as error:
                raise FloatingPointError(f"{error} for image {name}") from error
        return matches

    @torch.no_grad()
    def unmatched_classes(self, proposals: Proposals, segments: Sequence[Segments]) -> Tensor:
        """(B,N) class targets before matching has its say: no-object, or `region_classes`."""
        shape = proposals.pred_logits.shape
        no_object = shape[-1] - 1
        if self.region_purity <= 0:
            return torch.full(shape[:2], no_object, device=proposals.pred_logits.device)
        targets = [
            region_classes(masks.float(), target, self.region_purity, no_object)
            for masks, target in zip(proposals.pred_masks, segments)
        ]
        return torch.stack(targets)

    def stage_losses(
        self,
        proposals: Proposals,
        segments: Sequence[Segments],
        matches: Sequence[Match],
        num_segments: float,
    ) -> dict[str, Tensor]:
        """Unweighted losses of one stage, by name."""
        logits = proposals.pred_logits.float()
        classes = self.unmatched_classes(proposals, segments)
        # zero, but in the graph when there is no segment
        focal = dice = proposals.pred_masks.float().sum() * 0.0
        for i, (target, (chosen, wanted)) in enumerate(zip(segments, matches)):
            if len(chosen) == 0:
                continue
            classes[i, chosen] = target.labels[wanted]
            # the loss is taken at the labels' resolution: small segments survive there
            size = target.valid.shape
            masks = resize_masks(proposals.pred_masks[i, chosen].float()[None], size)[0].flatten(1)
            truth = target.masks[wanted].flatten(1).float()
            valid = target.valid.flatten().float().expand_as(truth)
            focal = focal + focal_loss(masks, truth, valid).sum()
            dice = dice + dice_loss(masks, truth, valid).sum()
        return {
            "loss_class": class_loss(
                logits.flatten(0, 1), classes.flatten(), self.no_object_weight
            ),
            "loss_focal": focal / num_segments,
            "loss_dice": dice / num_segments,
        }


def region_classes(masks: Tensor, segments: Segments, purity: float, no_object: int) -> Tensor:
    """The class that each proposal's mask lies on: masks (N,h,w) logits -> (N,) int64.

    A mask with at least the share `purity` of its labelled pixels on one class gets that class, a
    mixed one `no_object`, and one with less than half of its pixels labelled IGNORE_LABEL: it may
    lie on an unseen class, which must not be learnt to be nothing. One-to-one matching leaves most
    proposals without a class; where they overlap on purpose (clusters), their names count too.
    """
    inside = (masks > 0).flatten(1).float()
    truth = nearest_masks(segments.masks, masks.shape[-2:]).flatten(1)
    labelled = inside @ nearest_masks(segments.valid[None], masks.shape[-2:]).flatten(1).T
    classes = torch.full((len(masks),), no_object, device=masks.device)
    if len(segments.labels):
        shares, best = (inside @ truth.T / labelled.clamp(min=1)).max(dim=1)
        classes = torch.where(shares >= purity, segments.labels[best], classes)
    mostly_unlabelled = labelled[:, 0] * 2 < inside.sum(dim=1)
    return classes.masked_fill(mostly_unlabelled, IGNORE_LABEL)


def _mean_over_processes(count: int, like: Proposals) -> float:
    """The number of segments per process, at least 1: what mask losses are divided by."""
    total = torch.tensor(float(count), device=like.pred_masks.device)
    if comm.get_world_size() > 1:
        torch.distributed.all_reduce(total)
    return max(total.item() / comm.get_world_size(), 1.0)
