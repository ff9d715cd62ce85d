"""What heads of PerPixelNet share: how they are called, and the loss on their class scores.

Shape letters: B images, E width of the embeddings, K classes, h x w feature map, H x W image.
"""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from torch import Tensor, nn

from zsk.errors import UserError
from zsk.proposals.build import check_settings
from zsk.proposals.masks import resize_masks
from zsk.vocabulary import ignore_label

Shapes = Mapping[str, ShapeSpec]
"""Channels and strides of the backbone's features, by name."""


class PixelHead(nn.Module):
    """Backbone features -> embeddings (B,E,h,w) float32 of cells: what a look leaves of them."""

    learns_classifier = False
    """Whether training has a classifier of fixed classes, which then are the last argument of the
    head's `from_config` (`KnownClasses`)."""
    names_known_classes = False
    """Whether these classes are all that the trained head can name."""
    adam_parts: tuple[str, ...] = ()
    """Children with Adam and the rate MODEL.SYNTHESIS.<CHILD>_LR: generator, classifier."""
    rate_factors: Mapping[str, float] = {}
    """Of further children, rates over SOLVER.BASE_LR."""
    loss_of_pixels = False
    """Whether the cross-entropy is of pixels, on enlarged scores, instead of cells."""
    temperature = 1.0
    """What inner products are multiplied with."""

    def class_logits(self, embeddings: Tensor, text: Tensor) -> Tensor:
        """Embeddings (…,E,h,w), text (K,E') unit rows -> logits (…,K,h,w) float32.

        Inner products (E' = E), where a head has no scores of its own.
        """
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            return self.temperature * torch.einsum("...ehw,ke->...khw", embeddings, text.float())

    def map_loss(self, logits: Tensor, sem_seg: Tensor, weights: Tensor | None = None) -> Tensor:
        """Cross-entropy of one map of scores: of cells, or of pixels (`loss_of_pixels`).

        A cell has the label and the weight in its middle.

        Args:
            logits: (B,K,h,w).
            sem_seg: (B,H,W) int64, ids below K or `ignore_label(K)`.
            weights: of the labels, (B,H,W) float32; None: all 1.
        Returns:
            the mean over what is labelled; 0, but in the graph, when nothing is.
        """
        if self.loss_of_pixels:
            with torch.autocast(device_type=logits.device.type, enabled=False):
                logits = resize_masks(logits.float(), sem_seg.shape[-2:])
        size = logits.shape[-2:]
        weights = None if weights is None else at_cells(weights, size)
        return labelled_cross_entropy(logits, cell_labels(sem_seg, size), weights)

    def learns_features(self, text: Tensor) -> bool:
        """Whether this iteration's losses have a gradient for the backbone; text as in `losses`."""
        return True

    def losses(
        self,
        features: Sequence[Mapping[str, Tensor]],
        text: Tensor,
        sem_seg: Tensor,
        weights: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The losses of a training step: the sum over all scales and, of several, the maximum.

        Args:
            features: of the backbone, for each scale of the photos.
            text: (K,E') unit rows of the classes that the labels are of.
            sem_seg, weights: as above.
        """
        maps = with_maximum([self.class_logits(self(one), text) for one in features])
        losses = [self.map_loss(one, sem_seg, weights) for one in maps]
        return {"loss_sem_seg": torch.stack(losses).sum()}


def with_maximum(maps: list[Tensor]) -> list[Tensor]:
    """Maps (B,K,h_i,w_i) and, of several, their maximum at the size of the largest."""
    if len(maps) == 1:
        return maps
    largest = max((one.shape[-2:] for one in maps), key=math.prod)
    return [*maps, functools.reduce(torch.maximum, [resize_masks(one, largest) for one in maps])]


def at_cells(maps: Tensor, size: Sequence[int]) -> Tensor:
    """(B,H,W) float -> (B,h,w): a cell has the value in its middle."""
    return F.interpolate(maps[:, None], tuple(size), mode="nearest-exact")[:, 0]


def cell_labels(sem_seg: Tensor, size: Sequence[int]) -> Tensor:
    """(B,H,W) int64 -> (B,h,w), as `at_cells`."""
    return at_cells(sem_seg.double(), size).long()  # float64 holds every id


def labelled_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean over the labelled places, in float32; 0, but in the graph, where there are none.

    Args:
        logits: (B,K,h,w).
        labels: (B,h,w) int64, ids below K or `ignore_label(K)`.
        weights: (B,h,w) in [0,1], for a weighted mean: the sum of weights times losses over the sum
            of weights, or over 1 where that is less. None: all 1.
    """
    ignore = ignore_label(logits.shape[1])
    counts = (labels != ignore).float()
    if weights is not None:
        counts = counts * weights
    with torch.autocast(device_type=logits.device.type, enabled=False):
        losses = F.cross_entropy(logits.float(), labels, ignore_index=ignore, reduction="none")
    return (losses * counts).sum() / counts.sum().clamp(min=1)


def no_gradient(tensors: Iterable[Tensor]) -> Tensor:
    """0, in the graph of all tensors that have one, whose gradients are exactly 0.

    Several processes wait for the gradients of all parameters; the optimizer leaves those alone
    that have no part in a step (`zsk.engine.solver`).
    """
    zeros = [(0 * one).sum().float() for one in tensors]
    return torch.stack(zeros).sum() if zeros else torch.zeros(())


def check_pixel_settings(cfg: CfgNode, input_shape: Shapes) -> None:
    """Raises UserError unless MODEL.SEM_SEG_HEAD names one feature, which the backbone has."""
    head = cfg.MODEL.SEM_SEG_HEAD
    if len(head.IN_FEATURES) != 1:
        raise UserError(
            f"MODEL.SEM_SEG_HEAD.IN_FEATURES is {list(head.IN_FEATURES)}: name the one "
            f"backbone feature that the ASPP of {head.NAME} reads"
        )
    check_settings(cfg, input_shape)
