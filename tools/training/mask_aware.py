"""Teaches CLIP's image tower that its names answer for masks, not for the photo.

The probability of a class over the proposals of a photo is to follow how well each proposal covers
the class (mask-aware loss of MAFT, Jiao et al., NeurIPS 2023). Only attention and norms are
trained, and the embedding of the whole photo stays near the frozen tower's, so that classes without
a label keep their names.

Letters: H×W photo, R regions, G segments, K classes, E width of the shared space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from training.regions import MIN_SHARE
from training.student import LossOf, OnePassStudent, Record

from zsk.classification.clip_encoder import ClipEncoder
from zsk.data.targets import Segments, segments_from_sem_seg
from zsk.looks.true_scale import resize_rows
from zsk.vocabulary import ignore_label
from zsk.zsk_net import ZSKNet

DISTILLATION_WEIGHT = 0.1
MIN_SPREAD = 0.1  # of a class's overlaps: below, the proposals say nothing about it

Proposer = Callable[[Record, Segments], Tensor]
"""A photo's proposals (R,H,W) bool, given its labelled segments."""


class Naming(NamedTuple):
    """Share in [0,1] of the true segments that get their name, of learned and held-out classes."""

    learned: float
    held_out: float


def train_attention_and_norms(visual: nn.Module) -> None:
    """All other parameters of an image tower stay as they are."""
    visual.requires_grad_(False)
    norms = (nn.LayerNorm, nn.modules.batchnorm._BatchNorm, nn.MultiheadAttention)
    for name, module in visual.named_modules():
        if isinstance(module, norms) or name == "attnpool":  # the attention pooling of a ResNet
            module.requires_grad_(True)


def overlaps(regions: Tensor, segments: Tensor) -> Tensor:
    """IoU of regions (R,H,W) and segments (G,H,W), bool → (G,R) float32; 0 of two empty masks."""
    ours, theirs = segments.flatten(1).float(), regions.flatten(1).float()
    common = ours @ theirs.T
    return common / (ours.sum(dim=1)[:, None] + theirs.sum(dim=1) - common).clamp(min=1)


def mask_aware_loss(probabilities: Tensor, classes: Tensor, iou: Tensor) -> Tensor | None:
    """Smooth L1 of each class's probabilities and its overlaps, scaled to [0,1] over the proposals.

    Args:
        probabilities: (R,K) float32 of the proposals.
        classes: (G,) int64 below K, the classes in the photo.
        iou: (G,R), see `overlaps`.

    Returns:
        the mean over proposals and classes; None where the overlaps of no class differ.
    """
    if not iou.numel():
        return None
    lowest, highest = iou.aminmax(dim=1, keepdim=True)
    told = (highest - lowest)[:, 0] >= MIN_SPREAD
    if not told.any():
        return None
    wanted = ((iou - lowest) / (highest - lowest).clamp(min=MIN_SPREAD))[told]
    return F.smooth_l1_loss(probabilities.T[classes[told]], wanted)


def loss_by_masks(
    student: OnePassStudent,
    encoder: ClipEncoder,
    text: Tensor,
    held_out: Tensor,
    propose: Proposer,
) -> LossOf:
    """The objective of `train_student`.

    Args:
        encoder: the frozen one, on the student's device.
        text: (K,E) unit rows, the names of the seen classes.
        held_out: (K,) bool: classes that are left out, with their names and labels.
        propose: gives the proposals.
    """
    names, numbers = text[~held_out], (~held_out).cumsum(dim=0) - 1

    def loss_of(record: Record, generator: torch.Generator) -> Tensor | None:
        pixels = encoder.normalised(record["image"]).to(encoder.device)
        segments = labelled_segments(record, held_out)
        regions = propose(record, segments).to(pixels.device)
        regions = regions[regions.flatten(1).float().mean(dim=1) >= MIN_SHARE]
        whole = torch.ones(1, *pixels.shape[-2:], dtype=torch.bool, device=pixels.device)
        rows = student(pixels, torch.cat([whole, regions]))
        far = 1 - (rows[:1] * encoder.encode_regions(pixels, whole.float())).sum()
        probabilities = (encoder.logit_scale * rows[1:] @ names.T).softmax(dim=1)
        iou = overlaps(regions, segments.masks.to(pixels.device))
        loss = mask_aware_loss(probabilities, numbers[segments.labels.to(text.device)], iou)
        return DISTILLATION_WEIGHT * far + (0.0 if loss is None else loss)

    return loss_of


def labelled_segments(record: Record, left_out: Tensor) -> Segments:
    """The segments of the classes that are not left out, (K,) bool."""
    ignore = ignore_label(len(record["vocabulary"]))
    segments = segments_from_sem_seg(record["sem_seg"], ignore)
    kept = ~left_out.to(segments.labels.device)[segments.labels]
    return segments._replace(labels=segments.labels[kept], masks=segments.masks[kept])


@torch.no_grad()
def naming(
    student: Callable[[Tensor, Tensor], Tensor],
    encoder: ClipEncoder,
    records: Iterable[Record],
    text: Tensor,
    held_out: Tensor,
) -> Naming:
    """How often the student names true segments right, among all K names; NaN of no segment."""
    right: dict[bool, list[bool]] = {False: [], True: []}
    nothing = torch.zeros_like(held_out)
    for record in tqdm(records, "naming segments"):
        segments = labelled_segments(record, nothing)
        if len(segments.masks):
            pixels = encoder.normalised(record["image"]).to(encoder.device)
            rows = student(pixels, segments.masks.to(pixels.device))
            found = (rows @ text.T).argmax(dim=1).cpu()
            for name, true in zip(found.tolist(), segments.labels.tolist()):
                right[bool(held_out[true])].append(name == true)
    shares = (torch.tensor(right[kind], dtype=torch.float64).mean() for kind in (False, True))
    return Naming(*(share.item() for share in shares))


def true_masks(record: Record, segments: Segments) -> Tensor:
    """A `Proposer`: the segments themselves."""
    return segments.masks


def masks_of_model(model: ZSKNet) -> Proposer:
    """A `Proposer`: the masks of a trained model, where they are over 0.5."""

    def propose(record: Record, segments: Segments) -> Tensor:
        (regions,) = model.look([record["image"]])
        return resize_rows(regions.masks, regions.box, record["image"].shape[-2:]) > 0

    return propose


def both(propose: Proposer) -> Proposer:
    """A `Proposer`: the segments beside other proposals."""

    def propose_both(record: Record, segments: Segments) -> Tensor:
        others = propose(record, segments)
        return torch.cat([segments.masks.to(others.device), others])

    return propose_both
