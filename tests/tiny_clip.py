"""Helpers: an OpenAI CLIP of two layers with random weights, and encoders to compute by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

import zsk  # noqa: F401
from zsk.classification.clip_vision import ClipVision
from zsk.classification.encoder import VisionLanguageEncoder
from zsk.classification.sight import Sight


def make_tiny_clip(input_size: int = 64, seed: int = 0) -> nn.Module:
    """CLIP's own class with patches of 16 px, E = 32 and the real vocabulary; float32, seeded."""
    from clip.model import CLIP

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return CLIP(32, input_size, 2, 64, 16, 77, 49408, 64, 1, 2).eval()


def save_tiny_clip(path: Path | str, input_size: int = 64, seed: int = 0) -> Path:
    """Write its state dict (13 MB) as a file that `build_encoder(str(path))` reads."""
    torch.save(make_tiny_clip(input_size, seed).state_dict(), path)
    return Path(path)


class ColourVision(ClipVision):
    """Regions: the mean colour under each mask; `visual` is the encoder's list of batch sizes."""

    patch = 1

    def see(self, photos: Tensor) -> Sight:
        return Sight({"res2": photos}, (photos,), photos.shape[-2:])

    def regions(self, sight: Sight, masks: Tensor) -> Tensor:
        (pixels,) = sight.regions
        self.visual.append(len(masks))
        return torch.einsum("rhw,chw->rc", masks, pixels) / masks.sum(dim=(1, 2))[:, None]


class ColourEncoder(VisionLanguageEncoder):
    """Images: the mean colour of a crop. Texts: the colour that the last word names. E = 3."""

    colours = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "yellow": (1.0, 1.0, 0.0)}

    def __init__(self, input_size: int = 4, pixel_mean: float = 0.0) -> None:
        super().__init__(
            embed_dim=3,
            input_size=input_size,
            pixel_mean=(pixel_mean,) * 3,
            pixel_std=(1.0, 1.0, 1.0),
            logit_scale=2.0,
        )
        self.hold("scale", nn.Linear(1, 1, bias=False))  # used by nothing: rides along
        self.batches: list[int] = []  # sizes of the batches of crops and regions that came
        self.hold_vision(ColourVision(self.batches), 0)
        self.texts: list[str] = []

    def _text_features(self, texts: Sequence[str]) -> Tensor:
        self.texts += texts
        return torch.tensor([self.colours[text.rstrip(".").split()[-1]] for text in texts])

    def _image_features(self, crops: Tensor) -> Tensor:
        assert crops.shape[1:] == (3, self.input_size, self.input_size)
        self.batches.append(len(crops))
        return crops.mean(dim=(2, 3))
