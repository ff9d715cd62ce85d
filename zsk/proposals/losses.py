"""Class loss, mask losses and the mask losses of all pairs, for matching: pure, float32.

Pixels whose label is to be ignored are in neither numerator nor denominator of a mask loss.

Shape letters: B images, N predictions, G segments, M matched pairs, P pixels, K classes. Focal: Lin
et al. 2017 (alpha 0.25, gamma 2); dice: Milletari et al. 2016, with 1 added above and below so that
empty against empty costs nothing.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from zsk.data.targets import UNNAMED
from zsk.vocabulary import IGNORE_LABEL

from .masks import resize_masks

ALPHA = 0.25  # gamma, 2, is the squares below
PART_VALUES = 2**20  # pixels of the pairs that are looked at together on a CPU


def mask_losses(
    logits: Tensor, targets: Tensor, valid: Tensor, rows: Tensor, images: Tensor
) -> tuple[Tensor, Tensor]:
    """Focal and dice loss of M ≥ 1 pairs of a mask and its segment, at the segments' resolution.

    Args:
        logits: (M,h,w) float32, resized to H x W bilinearly where that is another size.
        targets: (T,H,W) bool, the segments; `rows` (M,) int64 says which is whose.
        valid: (V,H,W) bool, False where the label is to be ignored; `images` (M,) likewise.
    Returns:
        (M,) focal losses, means over the valid pixels, and (M,) dice losses, 0 where a mask is
        right everywhere. Both are 0 for a mask without a valid pixel.
    """
    return _MaskLosses.apply(logits, targets, valid, rows, images)


class _MaskLosses(torch.autograd.Function):
    """Both losses, with their derivatives worked out by hand.

    The losses are taken at the labels' resolution, where autograd would keep a dozen maps for every
    segment and stage. Here nothing of that size is kept: backward resizes again.

    Let d be a pixel's logit x, its sign changed inside the segment, and e = sigmoid(d), the
    probability of the wrong answer. Focal is -a e^2 log(1 - e) with a = alpha inside, 1 - alpha
    outside; its derivative by d is a e^2 (e - 2 (1 - e) log(1 - e)). The mask's probability p is
    1 - e inside, e outside; its derivative by x is e (1 - e). Dice is 1 - overlap / total.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, valid: Tensor, rows: Tensor, images: Tensor
    ) -> tuple[Tensor, Tensor]:
        sums = []
        for part in _parts(len(logits), targets):
            labelled = valid[images[part]].flatten(1)
            inside = targets[rows[part]].flatten(1) & labelled
            resized = resize_masks(logits[part][None], targets.shape[-2:])[0].flatten(1)
            error, log_right = _answers(resized, inside, labelled)
            focal = log_right.mul_(error).mul_(error)
            focal = focal.mul_(torch.where(inside, -ALPHA, ALPHA - 1)).sum(dim=1)
            missed = torch.where(inside, error, 0.0).sum(dim=1)
            counts = inside.sum(dim=1), labelled.sum(dim=1)
            sums.append(torch.stack([focal, missed, error.sum(dim=1), *counts]))
        focal, missed, errors, size, count = torch.cat(sums, dim=1)
        prob = size + errors - 2 * missed  # the sum of p
        overlap, total = 2 * (size - missed) + 1, prob + size + 1
        count = count.clamp(min=1)
        ctx.save_for_backward(logits, targets, valid, rows, images, count, overlap, total)
        return focal / count, 1 - overlap / total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_focal: Tensor, grad_dice: Tensor) -> tuple[Tensor | None, ...]:
        logits, targets, valid, rows, images, count, overlap, total = ctx.saved_tensors
        by_d = (grad_focal / count)[:, None]
        outside = (grad_dice * overlap / total.square())[:, None]  # the derivative of dice by p
        inside = outside - 2 * (grad_dice / total)[:, None]
        by_logits = torch.empty_like(logits)
        for part in _parts(len(logits), targets):
            labelled = valid[images[part]].flatten(1)
            target = targets[rows[part]].flatten(1) & labelled
            with torch.enable_grad():
                small = logits[part].detach().requires_grad_()
                resized = resize_masks(small[None], targets.shape[-2:])
            error, log_right = _answers(resized.detach()[0].flatten(1), target, labelled)
            right = 1 - error
            grad = torch.addcmul(error, right, log_right, value=-2).mul_(error)
            grad.mul_(torch.where(target, -ALPHA * by_d[part], (1 - ALPHA) * by_d[part]))
            grad.addcmul_(right, torch.where(target, inside[part], outside[part])).mul_(error)
            by_logits[part] = torch.autograd.grad(resized, small, grad.view_as(resized))[0]
        return by_logits, None, None, None, None


def _parts(count: int, maps: Tensor) -> list[slice]:
    """The pairs in parts of bounded memory; a GPU, where each part has to be started, takes all."""
    step = max(1, PART_VALUES // maps[0].numel()) if maps.device.type == "cpu" else count
    return [slice(first, first + step) for first in range(0, count, step)]


def _answers(logits: Tensor, targets: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The wrong answer's probability, and the logarithm of the right one's.

    Where a pixel does not count, the answer is right.
    """
    wrong = torch.where(targets, -logits, logits).masked_fill_(~valid, -torch.inf)
    error = wrong.sigmoid()
    # softplus says the same, in twice the time on a CPU
    return error, F.logsigmoid(wrong.neg_())


def pairwise_mask_losses(logits: Tensor, targets: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """`mask_losses` of every mask with every segment of its image, without gradient.

    logits (B,N,P), targets (B,G,P) and valid (B,P) of 0s and 1s -> two of (B,N,G).
    """
    labelled = valid[:, :, None]
    inside = (targets * valid[:, None]).mT
    prob = logits.sigmoid()
    overlap = prob @ inside
    total = prob @ labelled + inside.sum(dim=1, keepdim=True)
    # focal loss of each logit were its target 1 and were it 0: -log(1 - p) is x - log(p)
    positive = F.logsigmoid(logits).neg_()
    negative = (positive + logits).mul_(prob).mul_(prob)
    other = prob.neg_().add_(1)
    positive.mul_(other).mul_(other)
    focal = ALPHA * (positive @ inside) + (1 - ALPHA) * (negative @ (labelled - inside))
    count = labelled.sum(dim=1, keepdim=True).clamp(min=1)
    return focal / count, 1 - (2 * overlap + 1) / (total + 1)


def class_loss(logits: Tensor, targets: Tensor, no_object_weight: float) -> Tensor:
    """Cross-entropy with the last class (no object) weighted down: a weighted mean, a scalar.

    logits (M,K+1), targets (M,) int64 in [0, K], UNNAMED for rows that are any class but the last,
    or IGNORE_LABEL for rows that do not count. A vocabulary has fewer classes than that.
    """
    no_object = logits.shape[1] - 1
    weights = torch.where(targets == no_object, no_object_weight, 1.0).to(logits.dtype)
    weights = weights.masked_fill(targets == IGNORE_LABEL, 0.0)
    unnamed = targets == UNNAMED
    something = logits.logsumexp(dim=1) - logits[:, :-1].logsumexp(dim=1)
    targets = targets.masked_fill(unnamed, IGNORE_LABEL)
    named = F.cross_entropy(logits, targets, reduction="none", ignore_index=IGNORE_LABEL)
    losses = torch.where(unnamed, something, named)
    return (losses * weights).sum() / weights.sum().clamp(min=1e-6)
