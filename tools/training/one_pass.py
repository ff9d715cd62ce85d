"""Teaches CLIP's image tower to embed regions in one look as it embeds their crops.

The teacher is the frozen encoder on masked crops. The student is a copy of its image tower that
embeds all regions of a photo in one look. The student learns the teacher's embeddings and their
similarities to the names of seen classes. Of the labels only the outlines are used.

Letters: H×W photo, R regions, K seen classes, E width of the shared space.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm
from training.regions import draw_regions
from training.student import LossOf, OnePassStudent, Record

from zsk.classification.clip_encoder import ClipEncoder
from zsk.classification.crops import masked_crops
from zsk.vocabulary import IGNORE_LABEL, ignore_label

REGIONS = 12  # of a photo and step: bounds the number of crops


class TaughtPhoto(NamedTuple):
    """A photo, R regions in it, and the teacher's embeddings of their crops."""

    pixels: Tensor  # (3,H,W) float32, normalised
    masks: Tensor  # (R,H,W) bool
    features: Tensor  # (R,E) float32 unit rows


class Likeness(NamedTuple):
    """Student and teacher compared: mean cosine, and the share in [0,1] with the same name."""

    cosine: float
    agreement: float


def teach(
    encoder: ClipEncoder,
    image: Tensor,
    sem_seg: Tensor,
    generator: torch.Generator,
    ignore: int = IGNORE_LABEL,
    antialias: bool = True,
) -> TaughtPhoto:
    """Draw at most REGIONS regions of a photo (maybe none) and encode their crops.

    Args:
        encoder: the teacher; the result is on its device.
        image: (3,H,W) RGB in 0–255.
        sem_seg, ignore: see `draw_regions`.
        generator: on the CPU.
        antialias: see `masked_crops`.
    """
    pixels = encoder.normalised(image)
    masks = draw_regions(pixels, sem_seg, REGIONS, generator, ignore).to(encoder.device)
    pixels = pixels.to(encoder.device)
    if not len(masks):
        return TaughtPhoto(pixels, masks, pixels.new_zeros(0, encoder.embed_dim))
    crops = masked_crops(pixels, masks, encoder, antialias)
    return TaughtPhoto(pixels, masks, encoder.encode_image(crops))


def distillation_loss(student: Tensor, teacher: Tensor, text: Tensor, logit_scale: float) -> Tensor:
    """1 - cosine, plus the KL divergence of the teacher's class probabilities from the student's.

    Args:
        student, teacher: (R,E) unit rows, R at least 1.
        text: (K,E) unit rows of the seen classes.
        logit_scale: factor on cosines.

    Returns:
        Scalar, the mean over the regions; 0 where student and teacher are the same.
    """
    cosine = (student * teacher).sum(dim=1).mean()
    ours, theirs = ((logit_scale * rows @ text.T).log_softmax(dim=1) for rows in (student, teacher))
    return 1 - cosine + F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def loss_by_crops(
    student: OnePassStudent, encoder: ClipEncoder, text: Tensor, antialias: bool = True
) -> LossOf:
    """The objective of `train_student`: regions are embedded as `encoder` embeds their crops.

    Args:
        encoder: the teacher, on the student's device.
        text: (K,E) unit rows, the seen classes' names.
        antialias: see `masked_crops`.
    """

    def loss_of(record: Record, generator: torch.Generator) -> Tensor | None:
        ignore = ignore_label(len(record["vocabulary"]))
        photo = teach(encoder, record["image"], record["sem_seg"], generator, ignore, antialias)
        if not len(photo.masks):
            return None
        rows = student(photo.pixels, photo.masks)
        return distillation_loss(rows, photo.features, text, encoder.logit_scale)

    return loss_of


def encode_held_out(
    encoder: ClipEncoder, images: Iterable[Tensor], seed: int, antialias: bool = True
) -> list[TaughtPhoto]:
    """Photos (3,H,W) RGB in 0–255 with regions that come from no label."""
    generator = torch.Generator().manual_seed(seed)
    return [
        teach(
            encoder,
            image,
            torch.full(image.shape[-2:], IGNORE_LABEL),
            generator,
            antialias=antialias,
        )
        for image in tqdm(images, "held out")
    ]


@torch.no_grad()
def likeness(student: OnePassStudent, photos: Sequence[TaughtPhoto], text: Tensor) -> Likeness:
    """Over all regions of `photos`; text (K,E) unit rows. NaN where there is no region."""
    cosines, same = [], []
    for photo in photos:
        if len(photo.masks):
            features = student(photo.pixels, photo.masks)
            cosines.append((features * photo.features).sum(dim=1))
            ours, theirs = ((rows @ text.T).argmax(dim=1) for rows in (features, photo.features))
            same.append(ours == theirs)
    if not cosines:
        return Likeness(float("nan"), float("nan"))
    return Likeness(torch.cat(cosines).mean().item(), torch.cat(same).float().mean().item())
