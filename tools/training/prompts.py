"""Learns the context of prompts from segments of seen classes; the encoder is frozen.

The image side never changes, so every segment is encoded once, and training only runs the text
tower. The recipe is CoOp's (Zhou et al., IJCV 2022): cross-entropy at the encoder's own logit
scale, SGD with momentum, cosine decay.

Letters: R segments, K seen classes, E width of the shared space, P and Q context vectors before and
after the name, W width of the text tower.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from zsk.classification.crops import masked_crops
from zsk.classification.encoder import TextError, VisionLanguageEncoder
from zsk.classification.learned_prompts import LearnedPrompts, check_takes_context
from zsk.data.targets import segments_from_sem_seg
from zsk.errors import UserError
from zsk.vocabulary import Vocabulary, ignore_label

RANDOM_STD = 0.02  # of context vectors that start from no token: as in CLIP
MOMENTUM = 0.9
ACCURACY_CHUNK = 65536  # segments compared at once: bounds the memory


class SegmentFeatures(NamedTuple):
    """features (R,E) float32 unit rows and labels (R,) int64, both on the CPU."""

    features: Tensor
    labels: Tensor


@torch.no_grad()
def encode_segments(
    encoder: VisionLanguageEncoder, records: Iterable[dict[str, Any]], antialias: bool = True
) -> SegmentFeatures:
    """Encode a crop of every ground-truth segment.

    Args:
        encoder: the frozen image side.
        records: mapped training records: "image" (3,H,W) RGB in 0–255, "sem_seg" (H,W)
            int64 and "vocabulary".
        antialias: see `masked_crops`.

    Raises:
        UserError: there is no segment.
    """
    features: list[Tensor] = []
    labels: list[Tensor] = []
    for record in records:
        segments = segments_from_sem_seg(record["sem_seg"], ignore_label(len(record["vocabulary"])))
        if len(segments.labels):
            pixels = encoder.normalised(record["image"]).to(encoder.device)
            crops = masked_crops(pixels, segments.masks.to(encoder.device), encoder, antialias)
            features.append(encoder.encode_image(crops).cpu())
            labels.append(segments.labels)
    if not features:
        raise UserError("no image of DATASETS.TRAIN has a labelled pixel of a seen class")
    return SegmentFeatures(torch.cat(features), torch.cat(labels))


def initial_prompts(
    encoder: VisionLanguageEncoder, template: str, prefix: int, suffix: int, seed: int
) -> LearnedPrompts:
    """Context vectors to start from: the tokens around the name in `template`.

    The tokens nearest to the name are kept; further vectors are random and lie farther from the
    name. "{}" starts from random vectors alone.

    Args:
        template: a text with one "{}".
        prefix, suffix: P and Q, at least 0, not both 0.

    Raises:
        UserError: a number or the template is not as said, or the encoder takes no context.
    """
    check_takes_context(encoder)
    if template.count("{}") != 1:
        raise UserError(f"the template {template!r} needs one {{}} for the name")
    if min(prefix, suffix) < 0 or prefix + suffix == 0:
        raise UserError(
            f"{prefix} vectors before and {suffix} after the name are no context to learn: give "
            "numbers that are not negative, and one that is not 0"
        )
    before, after = template.split("{}")
    generator = torch.Generator().manual_seed(seed)
    # mirrored, so that both sides are filled from the name outwards
    left = _fill(encoder.embed_tokens(before.strip())[1:-1].flip(0), prefix, generator).flip(0)
    right = _fill(encoder.embed_tokens(after.strip())[1:-1], suffix, generator)
    return LearnedPrompts(left, right)


def train_prompts(
    prompts: LearnedPrompts,
    encoder: VisionLanguageEncoder,
    vocabulary: Vocabulary,
    segments: SegmentFeatures,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> list[float]:
    """Train the context vectors in place; returns the loss of every step.

    Args:
        vocabulary: the K seen classes that the segments' labels are ids of; noted in `prompts`.
        steps, batch_size: at least 1; a step sees `batch_size` segments, drawn with `seed`.
        learning_rate: over 0; falls to 0 along half a cosine.

    Raises:
        UserError: a name is too long between the vectors, or training diverged.
    """
    prompts.trained_on = tuple(dict.fromkeys(vocabulary.names + vocabulary.prompt_names))
    prompts.to(encoder.device)
    optimizer = torch.optim.SGD(prompts.parameters(), lr=learning_rate, momentum=MOMENTUM)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    losses = []
    with encoder.single_precision(), tqdm(range(steps), desc="steps") as progress:
        for step in progress:
            chosen = torch.randint(len(segments.labels), (batch_size,), generator=generator)
            features, labels = (part[chosen].to(encoder.device) for part in segments)
            try:
                text = prompts(encoder, vocabulary.prompt_names)
            except TextError as error:
                raise UserError(
                    f"the name {error.text!r} and the context have {error.reason}, which the text "
                    "encoder does not take: choose fewer context vectors"
                ) from error
            loss = F.cross_entropy(encoder.logit_scale * features @ text.T, labels)
            if not loss.isfinite():
                raise UserError(f"training diverged at step {step}: choose a lower learning rate")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            progress.set_postfix(loss=f"{losses[-1]:.3f}")
    return losses


def accuracy(segments: SegmentFeatures, text: Tensor) -> float:
    """The share in [0,1] of segments whose own name is the nearest of text (K,E), on any device."""
    text = text.cpu()
    chunks = segments.features.split(ACCURACY_CHUNK)
    named = torch.cat([(features @ text.T).argmax(dim=1) for features in chunks])
    return (named == segments.labels).float().mean().item()


def _fill(vectors: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """The first `count` of (T,W) vectors, with random ones after them where T is less."""
    kept = vectors[:count].cpu()
    shape = (count - len(kept), vectors.shape[1])
    return torch.cat([kept, RANDOM_STD * torch.randn(shape, generator=generator)])
