"""Class loss, mask losses, and the mask losses of all pairs for matching: pure, float32.

Pixels with the ignore label are in neither numerator nor denominator of a mask loss.

Shape letters: B images, N predictions, G segments, M matched pairs, P pixels, K classes. Focal: Lin
et al. 2017 (alpha 0.25, gamma 2); dice: Milletari et al. 2016, with 1 added above and below so that
empty against empty costs nothing.
"""

import torch
import torch.nn.functional as F
from fvcore.nn import sigmoid_focal_loss
from torch import Tensor

from zsk.data.targets import UNNAMED
from zsk.vocabulary import ignore_label

from .masks import resize_masks

ALPHA = 0.25
GAMMA = 2


def mask_losses(logits: Tensor, targets: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Focal and dice loss of M >= 1 pairs of a mask and its segment, at the segments' resolution.

    Args:
        logits: (M,h,w) float32, resized to H x W bilinearly.
        targets: (M,H,W) bool, the segments.
        valid: (M,H,W) bool, False where the label is to be ignored.
    Returns:
        (M,) focal losses, means over the valid pixels, and (M,) dice losses. Both are 0 for a mask
        without a valid pixel.
    """
    logits = resize_masks(logits[None], targets.shape[-2:])[0].flatten(1)
    weight = valid.flatten(1).float()
    inside = targets.flatten(1) * weight
    focal = sigmoid_focal_loss(logits, inside, ALPHA, GAMMA)
    count = weight.sum(dim=1).clamp(min=1)
    prob = logits.sigmoid() * weight
    overlap = 2 * (prob * inside).sum(dim=1) + 1
    total = prob.sum(dim=1) + inside.sum(dim=1) + 1
    return (focal * weight).sum(dim=1) / count, 1 - overlap / total


def pairwise_mask_losses(logits: Tensor, targets: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """`mask_losses` of every mask with every segment of its image, without gradient.

    logits (B,N,P), targets (B,G,P) and valid (B,P) of 0s and 1s -> two of (B,N,G).
    """
    labelled = valid[:, :, None]
    inside = (targets * valid[:, None]).mT
    prob = logits.sigmoid()
    overlap = prob @ inside
    total = prob @ labelled + inside.sum(dim=1, keepdim=True)
    # focal loss of each logit for target 1 and for target 0; -log(1 - p) is x - log(p)
    positive = F.logsigmoid(logits).neg_()
    negative = (positive + logits).mul_(prob).mul_(prob)
    other = prob.neg_().add_(1)
    positive.mul_(other).mul_(other)
    focal = ALPHA * (positive @ inside) + (1 - ALPHA) * (negative @ (labelled - inside))
    count = labelled.sum(dim=1, keepdim=True).clamp(min=1)
    return focal / count, 1 - (2 * overlap + 1) / (total + 1)


def class_loss(logits: Tensor, targets: Tensor, no_object_weight: float) -> Tensor:
    """Cross-entropy with the last class (no object) weighted down: a weighted mean, a scalar.

    logits (M,K+1); targets (M,) int64 in [0, K], UNNAMED for a row of any class but the last, or
    `ignore_label(K + 1)` for a row that does not count.
    """
    no_object = logits.shape[1] - 1
    ignore = ignore_label(logits.shape[1])
    weights = torch.where(targets == no_object, no_object_weight, 1.0).to(logits.dtype)
    weights = weights.masked_fill(targets == ignore, 0.0)
    unnamed = targets == UNNAMED
    something = logits.logsumexp(dim=1) - logits[:, :-1].logsumexp(dim=1)
    targets = targets.masked_fill(unnamed, ignore)
    named = F.cross_entropy(logits, targets, reduction="none", ignore_index=ignore)
    losses = torch.where(unnamed, something, named)
    return (losses * weights).sum() / weights.sum().clamp(min=1e-6)
