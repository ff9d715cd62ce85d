"""Teaches CLIP's image tower to see regions in one look as it sees their crops.

The teacher is the frozen tower on masked crops, as region mode crop has it. The student is a copy
that answers for all regions of a photo from one look. It learns the teacher's embeddings and how
they compare with the names of seen classes; of labels, outlines alone have a part.

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

from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL

from .clip_encoder import ClipEncoder
from .clip_patches import fit_to_patches
from .clip_training import save_state
from .clip_vision import clip_vision
from .half_at_rest import wake
from .one_pass_regions import draw_regions
from .region_crops import masked_crops

REGIONS = 12  # of a photo and step: bounds the crops that the teacher encodes
WARMUP = 0.1  # of the steps
WEIGHT_DECAY = 0.01
MAX_GRADIENT = 1.0  # norm


class OnePassStudent(nn.Module):
    """A trainable copy of an encoder's image tower that answers as its encode_regions does.

    It stays in evaluation mode, so that batch norm keeps its statistics: those of one photo, all
    that a look has, are another scale for each photo, and inference uses the kept ones. Scale and
    shift of the norms are trained, which is as much freedom.

    Args:
        encoder: copied with its one_pass_size and masked_layers; from the CPU, where its weights
            have full precision.
    """

    def __init__(self, encoder: ClipEncoder) -> None:
        super().__init__()
        self.visual = copy.deepcopy(encoder.network("clip").visual)
        wake(self.visual)
        self.visual.float().requires_grad_(True)
        self.one_pass_size = encoder.one_pass_size
        self.masked_layers = encoder.masked_layers
        self.eval()

    def forward(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """(3,H,W) float32 normalised, (R,H,W) bool, none empty → (R,E) float32 unit rows."""
        vision = clip_vision(self.visual, self.masked_layers)
        photo = fit_to_patches(pixels, vision.patch, self.one_pass_size)
        return F.normalize(vision.regions(photo, masks.float()).float(), dim=1)


class TaughtPhoto(NamedTuple):
    """A photo, regions in it, and what their crops are to the teacher.

    pixels (3,H,W) float32 normalised, masks (R,H,W) bool, features (R,E) float32 unit rows.
    """

    pixels: Tensor
    masks: Tensor
    features: Tensor


class Likeness(NamedTuple):
    """How near one look is to crops: mean cosine, and the share in [0,1] named the same."""

    cosine: float
    agreement: float


def teach(
    encoder: ClipEncoder, image: Tensor, sem_seg: Tensor, generator: torch.Generator
) -> TaughtPhoto:
    """Draw regions of a photo and encode their crops.

    Args:
        encoder: the teacher.
        image: (3,H,W) RGB in 0–255.
        sem_seg: (H,W) int64, see `draw_regions`.
        generator: on the CPU, draws the regions.

    Returns:
        A photo on the encoder's device with at most REGIONS regions, maybe none.
    """
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (encoder.pixel_mean, encoder.pixel_std))
    pixels = (image.float() - mean) / std
    masks = draw_regions(pixels, sem_seg, REGIONS, generator).to(encoder.device)
    pixels = pixels.to(encoder.device)
    if not len(masks):
        return TaughtPhoto(pixels, masks, pixels.new_zeros(0, encoder.embed_dim))
    crops = masked_crops(pixels, masks, encoder.input_size)
    return TaughtPhoto(pixels, masks, encoder.encode_image(crops))


def distillation_loss(student: Tensor, teacher: Tensor, text: Tensor, logit_scale: float) -> Tensor:
    """1 - cosine, plus the divergence of the teacher's class probabilities from the student's.

    Args:
        student, teacher: (R,E) unit rows, R at least 1.
        text: (K,E) unit rows, of names that may be known in training.
        logit_scale: τ.

    Returns:
        Scalar, the mean over the regions; 0 where the two are the same.
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
    """Train the student in place; the loss of every step.

    Args:
        encoder: the teacher, on the student's device; left as it is.
        batches: `steps` of mapped training records at least: "image" (3,H,W) RGB in 0–255 and
            "sem_seg" (H,W) int64, as ZeroShotMapper gives them. A photo without a region adds 0.
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
            photo = teach(encoder, record["image"], record["sem_seg"], generator)
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
    """Photos (3,H,W) RGB in 0–255 as `likeness` takes them; their regions come from no label."""
    generator = torch.Generator().manual_seed(seed)
    unlabelled = (
        (image, torch.full(image.shape[-2:], IGNORE_LABEL)) for image in tqdm(images, "held out")
    )
    return [teach(encoder, image, sem_seg, generator) for image, sem_seg in unlabelled]


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
    """Write the encoder's model with the student's image tower, as `clip_training.save` does."""
    state = dict(encoder.weights())
    state.update({f"visual.{name}": t for name, t in student.visual.state_dict().items()})
    save_state(state, file)
