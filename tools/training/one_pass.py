"""Teaches CLIP's image tower to embed regions in one look as it embeds their crops.

The teacher is the frozen encoder on masked crops. The student is a copy of its image tower that
embeds all regions of a photo in one look. The student learns the teacher's embeddings and their
similarities to the names of seen classes. Of the labels only the outlines are used.

Letters: H×W photo, R regions, K seen classes, E width of the shared space.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from training import small_clip
from training.regions import draw_regions

from zsk.classification.clip_encoder import ClipEncoder
from zsk.classification.clip_patches import fit_to_patches
from zsk.classification.clip_vision import clip_vision
from zsk.classification.crops import masked_crops
from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL, ignore_label

REGIONS = 12  # of a photo and step: bounds the number of crops
WARMUP = 0.1  # of the steps
WEIGHT_DECAY = 0.01
MAX_GRADIENT = 1.0  # norm


class OnePassStudent(nn.Module):
    """A trainable copy of an encoder's image tower; embeds regions as encode_regions does.

    It stays in evaluation mode: inference uses the batch norms' running statistics, and those of a
    single photo differ from them. The norms' scale and shift are trained.

    Args:
        encoder: on the CPU, where it has single precision; its image tower is copied.
    """

    def __init__(self, encoder: ClipEncoder) -> None:
        super().__init__()
        self.visual = copy.deepcopy(encoder.network("clip").visual)
        self.visual.float().requires_grad_(True)
        self.one_pass_size = encoder.one_pass_size
        self.masked_layers = encoder.masked_layers
        self.eval()

    def forward(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """(3,H,W) float32 normalised, (R,H,W) bool, none empty → (R,E) float32 unit rows."""
        vision = clip_vision(self.visual, self.masked_layers)
        photo = fit_to_patches(pixels, vision.patch, self.one_pass_size)
        sight = vision.see(photo[None]).photo(0)
        return F.normalize(vision.regions(sight, masks.float()).float(), dim=1)


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
) -> TaughtPhoto:
    """Draw at most REGIONS regions of a photo (maybe none) and encode their crops.

    Args:
        encoder: the teacher; the result is on its device.
        image: (3,H,W) RGB in 0–255.
        sem_seg, ignore: see `draw_regions`.
        generator: on the CPU.
    """
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (encoder.pixel_mean, encoder.pixel_std))
    pixels = (image.float() - mean) / std
    masks = draw_regions(pixels, sem_seg, REGIONS, generator, ignore).to(encoder.device)
    pixels = pixels.to(encoder.device)
    if not len(masks):
        return TaughtPhoto(pixels, masks, pixels.new_zeros(0, encoder.embed_dim))
    crops = masked_crops(pixels, masks, encoder)
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


def train_one_pass(
    student: OnePassStudent,
    encoder: ClipEncoder,
    batches: Iterable[Sequence[dict[str, Any]]],
    text: Tensor,
    *,
    steps: int,
    learning_rate: float,
    seed: int,
) -> list[float]:
    """Train the student in place; returns the loss of every step.

    Args:
        encoder: the teacher, on the student's device.
        batches: at least `steps` of mapped training records: "image" (3,H,W) RGB in 0–255,
            "sem_seg" (H,W) int64 and "vocabulary". A photo without a region adds 0.
        text: (K,E) unit rows, the seen classes' names.
        steps: at least 1.
        learning_rate: over 0, the highest: after the warm-up it falls along half a cosine.
        seed: draws the regions.

    Raises:
        UserError: training diverged.
    """
    optimizer = _build_optimizer(student, learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        learning_rate,
        total_steps=steps + 1,
        pct_start=max(WARMUP, 2 / (steps + 1)),  # the scheduler divides by one step less
        cycle_momentum=False,
    )
    generator = torch.Generator().manual_seed(seed)
    losses = []
    progress = tqdm(itertools.islice(batches, steps), "steps", steps, mininterval=5)
    for step, batch in enumerate(progress):
        optimizer.zero_grad()
        loss = 0.0
        for record in batch:  # one at a time: photos differ in size
            ignore = ignore_label(len(record["vocabulary"]))
            photo = teach(encoder, record["image"], record["sem_seg"], generator, ignore)
            if len(photo.masks):
                features = student(photo.pixels, photo.masks)
                part = distillation_loss(features, photo.features, text, encoder.logit_scale)
                (part / len(batch)).backward()
                loss += part.item() / len(batch)
        norm = nn.utils.clip_grad_norm_(student.parameters(), MAX_GRADIENT)
        if not norm.isfinite():
            raise UserError(f"training diverged at step {step}: choose a lower learning rate")
        optimizer.step()
        schedule.step()
        losses.append(loss)
        progress.set_postfix(loss=f"{loss:.3f}", refresh=False)
    return losses


def _build_optimizer(student: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """AdamW, without decay on vectors."""
    parameters = list(student.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim >= 2]},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, weight_decay=WEIGHT_DECAY)


def encode_held_out(encoder: ClipEncoder, images: Iterable[Tensor], seed: int) -> list[TaughtPhoto]:
    """Photos (3,H,W) RGB in 0–255 with regions that come from no label."""
    generator = torch.Generator().manual_seed(seed)
    return [
        teach(encoder, image, torch.full(image.shape[-2:], IGNORE_LABEL), generator)
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


def save_one_pass(student: OnePassStudent, encoder: ClipEncoder, file: Path) -> None:
    """Write the encoder's model with the student's image tower."""
    state = encoder.network("clip").state_dict()
    state.update({f"visual.{name}": t for name, t in student.visual.state_dict().items()})
    small_clip.save(state, file)
