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

from zsk.vocabulary import IGNORE_LABEL

from .masks import resize_masks

ALPHA = 0.25  # gamma, 2, is the squares below


def mask_losses(logits: Tensor, targets: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Focal and dice loss of M pairs of a mask and its segment.

    Args:
        logits: (M,P).
        targets, valid: (M,P) bool; `valid` is False where the label is to be ignored.
    Returns:
        (M,) focal losses, means over the valid pixels, and (M,) dice losses, 0 where a mask is
        right everywhere. Both are 0 for a mask without a valid pixel.
    """
    return resized_mask_losses(logits[:, None], targets[:, None], valid[:, None])


def resized_mask_losses(masks: Tensor, targets: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """`mask_losses` of masks (M,h,w) resized to the labels' resolution: small segments survive.

    targets, valid (M,H,W) bool -> (M,) focal and (M,) dice losses.
    """
    return _MaskLosses.apply(masks, targets, valid)


class _MaskLosses(torch.autograd.Function):
    """Both losses and, at once, their derivatives, worked out by hand.

    At the labels' resolution autograd would keep a dozen maps for every segment and stage. On the
    way back each of a mask's two losses is only multiplied with a number, so both derivatives are
    taken now, while the probabilities are at hand, and kept at the masks' resolution.

    Let d be a pixel's logit x, its sign changed inside the segment, and e = sigmoid(d), the
    probability of the wrong answer. Focal is a e^2 softplus(d) with a = alpha inside, 1 - alpha
    outside; its derivative by d is a e^2 (2 (1 - e) softplus(d) + e). The mask's probability p is
    1 - e inside, e outside; its derivative by x is e (1 - e). Dice is 1 - overlap / total.
    """

    @staticmethod
    def forward(ctx: Any, masks: Tensor, targets: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        size = valid.shape[-2:]
        with torch.set_grad_enabled(ctx.needs_input_grad[0]):
            source = masks.detach().requires_grad_(ctx.needs_input_grad[0])
            resized = resize_masks(source[None], size)  # (1,M,H,W); [0] would cost a copy each way
        losses, derivatives = _losses_and_derivatives(
            resized.detach()[0].flatten(1), targets.flatten(1), valid.flatten(1)
        )
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(
                *(
                    torch.autograd.grad(resized, source, by.view_as(resized), retain_graph=True)[0]
                    for by in derivatives
                )
            )
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_focal: Tensor, grad_dice: Tensor) -> tuple[Tensor, None, None]:
        by_focal, by_dice = ctx.saved_tensors
        both = torch.addcmul(
            by_focal * grad_focal[:, None, None], by_dice, grad_dice[:, None, None]
        )
        return both, None, None


def _losses_and_derivatives(
    logits: Tensor, targets: Tensor, valid: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Focal and dice losses (M,), and the derivatives of each by the logits (M,P).

    Maps are written over as soon as they are of no more use: on a CPU new memory costs as much as
    the arithmetic (measured). The letters are those of `_MaskLosses`.
    """
    inside = (targets & valid).to(logits.dtype)
    # logit and probability of the wrong answer; where a pixel does not count it is never given
    wrong = torch.addcmul(logits, logits, inside, value=-2).masked_fill_(~valid, -torch.inf)
    error = wrong.sigmoid()
    softplus = F.softplus(wrong)
    spare = wrong  # what is in it is of no more use
    count = spare.copy_(valid).sum(dim=1).clamp_(min=1)
    area = inside.sum(dim=1)
    weight = error.square()
    weight.addcmul_(weight, inside, value=ALPHA / (1 - ALPHA) - 1)  # a e^2 / (1 - alpha)
    focal_weight = (1 - ALPHA) / count
    focal = torch.mul(weight, softplus, out=spare).sum(dim=1) * focal_weight
    missed = torch.mul(error, inside, out=spare).sum(dim=1)
    prob = area + error.sum(dim=1) - 2 * missed  # the sum of p
    overlap, total = 2 * (area - missed) + 1, prob + area + 1
    right = torch.sub(1, error, out=spare)
    by_focal = torch.addcmul(error, right, softplus, value=2, out=softplus).mul_(weight)
    by_focal.addcmul_(by_focal, inside, value=-2)  # the derivative of d by x is -1 inside
    by_prob = torch.addcmul(
        (overlap / total.square())[:, None], inside, -2 / total[:, None], out=inside
    )
    by_dice = right.mul_(error).mul_(by_prob)
    return (focal, 1 - overlap / total), (by_focal.mul_(focal_weight[:, None]), by_dice)


def pairwise_mask_losses(logits: Tensor, targets: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """`mask_losses` of every mask with every segment of its image, without gradient.

    logits (B,N,P), targets (B,G,P) and valid (B,P) of 0s and 1s -> two of (B,N,G).
    """
    labelled = valid[:, :, None]
    inside = (targets * valid[:, None]).mT
    prob = logits.sigmoid()
    overlap = prob @ inside
    total = prob @ labelled + inside.sum(dim=1, keepdim=True)
    # focal loss of each logit were its target 1 and were it 0; softplus(x) = softplus(-x) + x
    spare = logits.neg()
    positive = F.softplus(spare)
    negative = torch.add(positive, logits, out=spare).mul_(prob).mul_(prob)
    other = prob.neg_().add_(1)
    positive.mul_(other).mul_(other)
    focal = ALPHA * (positive @ inside) + (1 - ALPHA) * (negative @ (labelled - inside))
    count = labelled.sum(dim=1, keepdim=True).clamp(min=1)
    return focal / count, 1 - (2 * overlap + 1) / (total + 1)


def class_loss(logits: Tensor, targets: Tensor, no_object_weight: float) -> Tensor:
    """Cross-entropy with the last class (no object) weighted down: a weighted mean, a scalar.

    logits (M,K+1), targets (M,) int64 in [0, K], or IGNORE_LABEL for rows that do not count. A
    vocabulary has fewer classes than that.
    """
    no_object = logits.shape[1] - 1
    weights = torch.where(targets == no_object, no_object_weight, 1.0).to(logits.dtype)
    weights = weights.masked_fill(targets == IGNORE_LABEL, 0.0)
    losses = F.cross_entropy(logits, targets, reduction="none", ignore_index=IGNORE_LABEL)
    return (losses * weights).sum() / weights.sum().clamp(min=1e-6)
