"""The training criterion: names and weights of all losses live here and nowhere else (section 5).

Shape letters: B images, N proposals, G segments, K classes, h x w masks, H x W labels.
"""

from collections.abc import Sequence

import torch
from detectron2.utils import comm
from torch import Tensor, nn

from zsk.data.targets import Segments

from .dynamic_kernel_head import Proposals
from .losses import class_loss, dice_loss, focal_loss
from .masks import resize_masks
from .matcher import HungarianMatcher

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
    ):
        """
        Args:
            no_object_weight: weight of the no-object class inside the cross-entropy.
            deep_supervision: supervise every stage, M_0 included; else the last one alone.
            ignore_aware: pixels without a label take no part in mask losses and costs; off, they
                count as negatives, as in the public baseline.
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
        for logits, masks, target, name in zip(*proposals, segments, image_names):
            try:
                matches.append(self.matcher(logits, masks, target))
            except FloatingPointError as error:
                raise FloatingPointError(f"{error} for image {name}") from error
        return matches

    def stage_losses(
        self,
        proposals: Proposals,
        segments: Sequence[Segments],
        matches: Sequence[Match],
        num_segments: float,
    ) -> dict[str, Tensor]:
        """Unweighted losses of one stage, by name."""
        logits = proposals.pred_logits.float()
        no_object = logits.shape[-1] - 1
        classes = torch.full(logits.shape[:2], no_object, device=logits.device)
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


def _mean_over_processes(count: int, like: Proposals) -> float:
    """The number of segments per process, at least 1: what mask losses are divided by."""
    total = torch.tensor(float(count), device=like.pred_masks.device)
    if comm.get_world_size() > 1:
        torch.distributed.all_reduce(total)
    return max(total.item() / comm.get_world_size(), 1.0)
