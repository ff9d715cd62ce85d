"""Contrastive training of a small CLIP (Radford et al., ICML 2021) from images with class names.

Letters: R images, K names in a batch, E width of the shared space, P side of an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zsk.classification.clip_encoder import CLIP, PIXEL_MEAN, PIXEL_STD, tokenize_all
from zsk.classification.clip_file import read_clip_file
from zsk.errors import UserError
from zsk.safe_load import save_file

MAX_LOGIT_SCALE = 100.0  # as in the paper
VOCABULARY_SIZE = 49408  # of CLIP's tokenizer
IMAGES_AT_ONCE = 256  # in evaluation: bounds the memory
START_SCALE = 30.0  # logit scale


class ClipSizes(NamedTuple):
    """The sizes of a small CLIP, as OpenAI's class calls them; as they are here, with a ResNet."""

    embed_dim: int = 128
    image_resolution: int = 64
    vision_layers: int | tuple[int, int, int, int] = (1, 1, 1, 1)
    vision_width: int = 16
    vision_patch_size: int | None = None
    context_length: int = 40
    transformer_width: int = 128
    transformer_layers: int = 2


# by image tower; a step of training takes about as long with either
TOWERS = {
    "resnet": ClipSizes(),
    "vit": ClipSizes(vision_layers=3, vision_width=96, vision_patch_size=8),
}


def new_clip(sizes: ClipSizes) -> Any:
    """OpenAI's model class with random weights."""
    heads = sizes.transformer_width // 64
    model = CLIP(**sizes._asdict(), vocab_size=VOCABULARY_SIZE, transformer_heads=heads)
    model.logit_scale.data.fill_(np.log(START_SCALE))
    return model


def load(model: Any, file: Path) -> None:
    """Give a new model the weights of a saved one of its sizes. Raises UserError."""
    if not file.is_file():
        raise UserError(f"there is no file {file}: give one that tools/train_clip.py wrote")
    try:
        model.load_state_dict(read_clip_file(file))
    except RuntimeError as error:
        raise UserError(
            f"the weights in {file} are not those of the synthetic world's small CLIP with this "
            "image tower: give a file that tools/train_clip.py wrote and its --tower"
        ) from error


class Batch(NamedTuple):
    """R images and what they show."""

    images: Tensor  # (R,3,P,P) uint8 RGB
    captions: list[str]  # K, one for each name in the batch
    targets: Tensor  # (R,) int64, the caption that fits


def make_batch(
    images: Sequence[np.ndarray],
    names: Sequence[str],
    templates: Sequence[str],
    rng: np.random.Generator,
) -> Batch:
    """Images (P,P,3) uint8 and their names; each name gets one caption by a random template."""
    distinct = sorted(set(names))
    captions = [templates[int(rng.integers(len(templates)))].format(name) for name in distinct]
    targets = torch.tensor([distinct.index(name) for name in names])
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return Batch(stacked, captions, targets)


def contrastive_loss(
    image_features: Tensor, text_features: Tensor, targets: Tensor, scale: Tensor
) -> Tensor:
    """CLIP's symmetric loss, where all images of a caption are its positives.

    Images of one name are not negatives of each other: the loss would push them apart.

    Args:
        image_features: (R,E) unit rows.
        text_features: (K,E) unit rows.
        targets: (R,) int64 in [0,K); every caption has an image.
        scale: scalar, the logit scale.
    """
    logits = scale * image_features @ text_features.T
    positives = F.one_hot(targets, logits.shape[1]).to(logits.dtype).T
    positives = positives / positives.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, positives)) / 2


def warm_up_text(
    model: Any, names: Sequence[str], templates: Sequence[str], steps: int, rng: np.random.Generator
) -> None:
    """Train the text tower alone: cosine of two captions = share of words their names have in
    common, whatever the templates.

    A fresh tower gives all captions nearly one feature, against which images learn slowly. With
    this target an unseen class lies between the seen classes that share its words; pushing all
    names apart would leave it near none of them.
    """
    optimizer = torch.optim.AdamW(model.transformer.parameters(), lr=0.002)
    words = [set(name.split()) for name in names]
    shared = [[2 * len(a & b) / (len(a) + len(b)) for b in words] for a in words]
    target = torch.tensor(shared, device=model.logit_scale.device)
    for _ in range(steps):
        sides = []
        for _ in range(2):
            chosen = rng.integers(len(templates), size=len(names))
            captions = [templates[k].format(name) for k, name in zip(chosen, names)]
            sides.append(encode_captions(model, captions))
        loss = F.mse_loss(sides[0] @ sides[1].T, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def build_optimizer(model: Any, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW for the image tower and the logit scale; no decay on vectors and scalars.

    The text tower stays as `warm_up_text` left it: trained further, it lets names grow alike that
    the images do not tell apart yet, and then they never do.
    """
    groups = decay_groups([*model.visual.parameters(), model.logit_scale])
    return torch.optim.AdamW(
        groups, lr=learning_rate, weight_decay=weight_decay, betas=(0.9, 0.98), eps=1e-6
    )


def decay_groups(parameters: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Groups of an optimizer: no weight decay on vectors and scalars."""
    return [
        {"params": [p for p in parameters if p.ndim >= 2]},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def train_step(model: Any, optimizer: torch.optim.Optimizer, batch: Batch) -> tuple[float, float]:
    """One step of the image tower; returns the loss and the share of images named right."""
    images = encode_images(model, batch.images)
    with torch.no_grad():
        texts = encode_captions(model, batch.captions)
    scale = model.logit_scale.exp().clamp(max=MAX_LOGIT_SCALE)
    targets = batch.targets.to(images.device)
    loss = contrastive_loss(images, texts, targets, scale)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        right = (images @ texts.T).argmax(dim=1) == targets
    return loss.item(), right.float().mean().item()


def encode_images(model: Any, images: Tensor) -> Tensor:
    """(R,3,P,P) uint8 RGB, on any device -> (R,E) unit rows."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (PIXEL_MEAN, PIXEL_STD))
    pixels = ((images.float() - mean) / std).to(model.logit_scale.device)
    return F.normalize(model.encode_image(pixels), dim=1)


def encode_captions(model: Any, captions: Sequence[str]) -> Tensor:
    """K captions -> (K,E) unit rows. Raises TextError."""
    tokens = tokenize_all(captions, model.context_length).to(model.logit_scale.device)
    return F.normalize(model.encode_text(tokens), dim=1)


@torch.no_grad()
def predictions(model: Any, images: Tensor, prompts: Sequence[str]) -> Tensor:
    """The nearest of K prompts for each image: (R,3,P,P) uint8 -> (R,) int64 in [0,K)."""
    texts = encode_captions(model, prompts)
    batches = images.split(IMAGES_AT_ONCE)
    found = [(encode_images(model, batch) @ texts.T).argmax(dim=1) for batch in batches]
    return torch.cat(found).cpu()


def save(state: Mapping[str, Tensor], file: Path) -> None:
    """Write a CLIP's state dict, OpenAI's names in half precision; see `save_file`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(file, {name: value.half().cpu() for name, value in state.items()})
