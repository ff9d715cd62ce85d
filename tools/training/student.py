"""A trainable copy of CLIP's image tower that embeds regions in one look, and how it is trained.

Letters: H×W photo, R regions, E width of the shared text and image space.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from training import small_clip

from zsk.classification.clip_encoder import ClipEncoder
from zsk.classification.clip_patches import fit_to_patches
from zsk.classification.clip_vision import clip_vision
from zsk.errors import UserError
from zsk.safe_load import read_file, save_file

WARMUP = 0.1  # of the steps
WEIGHT_DECAY = 0.01
MAX_GRADIENT = 1.0  # norm

Record = Mapping[str, Any]
"""A mapped training record: "image" (3,H,W) RGB in 0–255, "sem_seg" (H,W) int64, "vocabulary"."""

LossOf = Callable[[Record, torch.Generator], Tensor | None]
"""The loss of the student for one photo; None where the photo teaches nothing."""


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
        self.eval()

    def forward(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """(3,H,W) float32 normalised, (R,H,W) bool, none empty → (R,E) float32 unit rows."""
        vision = clip_vision(self.visual)
        photo = fit_to_patches(pixels, vision.patch, self.one_pass_size)
        sight = vision.see(photo[None]).photo(0)
        return F.normalize(vision.regions(sight, masks.float()).float(), dim=1)


def train_student(
    student: nn.Module,
    loss_of: LossOf,
    batches_from: Callable[[int], Iterable[Sequence[Record]]],
    *,
    steps: int,
    learning_rate: float,
    seed: int,
    state_file: Path | None = None,
    save_every: int = 100,
    settings: Mapping[str, Any] | None = None,
) -> list[float]:
    """Train the student's parameters that require gradients, in place.

    Args:
        loss_of: draws with the generator alone, which is on the CPU.
        batches_from: the batches from a step on.
        steps: at least 1.
        learning_rate: over 0, the highest: after the warm-up it falls along half a cosine.
        seed: of the generator.
        state_file: where it exists, the training goes on from it; it is written every `save_every`
            steps. Results are those of a training that never stopped.
        settings: plain values of what else decides the training; a state of others is refused.

    Returns:
        the loss of every step.

    Raises:
        UserError: training diverged, or the state is of another training.
    """
    groups = small_clip.decay_groups([p for p in student.parameters() if p.requires_grad])
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        learning_rate,
        total_steps=steps + 1,
        pct_start=max(WARMUP, 2 / (steps + 1)),  # the scheduler divides by one step less
        cycle_momentum=False,
    )
    generator = torch.Generator().manual_seed(seed)
    parts = {"student": student, "optimizer": optimizer, "schedule": schedule}
    losses: list[float] = []
    note = json.dumps([steps, learning_rate, seed, settings], sort_keys=True)
    if state_file is not None and state_file.exists():
        losses = _restore(parts, generator, state_file, note)
    batches = itertools.islice(batches_from(len(losses)), steps - len(losses))
    progress = tqdm(batches, "steps", steps, initial=len(losses), mininterval=5)
    for batch in progress:
        losses.append(_step(student, loss_of, batch, optimizer, generator, len(losses)))
        schedule.step()
        progress.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
        if state_file is not None and len(losses) % save_every == 0:
            states = {name: part.state_dict() for name, part in parts.items()}
            rest = {"losses": losses, "generator": generator.get_state(), "settings": note}
            save_file(state_file, {**states, **rest})
    return losses


def _step(
    student: nn.Module,
    loss_of: LossOf,
    batch: Sequence[Record],
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    step: int,
) -> float:
    """One step on the mean loss of the photos, one at a time, since photos differ in size."""
    optimizer.zero_grad()
    total = 0.0
    for record in batch:
        loss = loss_of(record, generator)
        if loss is not None:
            (loss / len(batch)).backward()
            total += loss.item() / len(batch)
    norm = nn.utils.clip_grad_norm_(student.parameters(), MAX_GRADIENT)
    if not norm.isfinite():
        raise UserError(f"training diverged at step {step}: choose a lower learning rate")
    optimizer.step()
    return total


def _restore(
    parts: Mapping[str, Any], generator: torch.Generator, file: Path, note: str
) -> list[float]:
    """Load the state of a training that was stopped; returns the losses of its steps."""
    state = read_file(file, "state of a stopped training")
    try:
        if state["settings"] != note:
            raise ValueError("other settings")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        generator.set_state(state["generator"])
        return list(state["losses"])
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"{file} is the state of another training ({type(error).__name__}): remove it, or "
            "give the options that it was started with"
        ) from error


def save_student(student: OnePassStudent, encoder: ClipEncoder, file: Path) -> None:
    """Write the encoder's model with the student's image tower."""
    state = encoder.network("clip").state_dict()
    state.update({f"visual.{name}": t for name, t in student.visual.state_dict().items()})
    small_clip.save(state, file)
