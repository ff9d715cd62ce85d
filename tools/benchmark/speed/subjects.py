"""What a run of a case is: a model built from its configuration, and a function to time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clip.model import CLIP
from detectron2.engine import AMPTrainer, SimpleTrainer
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from PIL import Image
from skimage import data
from torch import nn

from zsk.engine.solver import build_optimizer
from zsk.load import load_config
from zsk.looks.batched_inputs import Record
from zsk.segmenter import Segmenter
from zsk.vocabulary import Vocabulary

from .cases import ALL_MASKS, ROOT, Case
from .reference import published_labels

Step = Callable[[], Any]


def build(case: Case) -> Step:
    """The function whose calls are the runs of a case."""
    torch.manual_seed(0)
    if case.kind in ("look", "other words", "same words"):
        return _embedded(case)
    cfg = load_config(str(ROOT / case.config), case.opts)
    model = build_model(cfg)
    damp_residuals(model)
    if case.kind == "training":
        return _training_step(case, cfg, model.train())
    model.eval().requires_grad_(False)
    names = Vocabulary.from_words(words(case.names), trained=words(case.names)[::2])
    record = _record(case, names)
    if case.kind == "reference":
        return lambda: published_labels(model, record, ALL_MASKS)
    return lambda: model([record])


def _training_step(case: Case, cfg: Any, model: nn.Module) -> Step:
    """Forward, losses, backward and the optimizer's step on two photos, as in train_net.py."""
    names = words(case.names)
    record = _record(case, Vocabulary.from_words(names, trained=names))
    record["sem_seg"] = segment_labels(case.photo)
    kind = AMPTrainer if cfg.SOLVER.AMP.ENABLED else SimpleTrainer
    trainer = kind(model, repeat([record, record]), build_optimizer(cfg, model))

    def step() -> None:
        with EventStorage():
            trainer.optimizer.zero_grad()
            trainer.run_step()

    return step


def _embedded(case: Case) -> Step:
    """The model that needs no download: a photo from file to labels, or further words for it."""
    segmenter = Segmenter(str(ROOT / case.config), opts=case.opts)
    photo, first = _photo(case.photo), words(case.names)
    if case.kind == "look":
        return lambda: segmenter.look(photo).segment(first)
    ask = segmenter.look(photo).segment
    ask(first)
    if case.kind == "same words":
        return lambda: ask(first)
    others = (words(case.names, f"thing {number}") for number in count())  # never asked before
    return lambda: ask(next(others))


def words(number: int, kind: str = "object") -> list[str]:
    """Made-up class names."""
    return [f"{kind} {n}" for n in range(number)]


def segment_labels(size: tuple[int, int]) -> torch.Tensor:
    """(H,W) int64 ground truth of eight rectangular segments, each of a class of its own."""
    rows, columns = (torch.arange(length) for length in size)
    return (rows * 2 // size[0])[:, None] * 4 + (columns * 4 // size[1])[None]


def damp_residuals(model: nn.Module) -> None:
    """Scale what each residual block of a random ResNet adds: half precision would overflow."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("conv3.norm.weight"):
                value.fill_(0.2)


def save_random_clip(file: Path, *, resnet: bool = False, tiny: bool = False) -> None:
    """Write random weights of OpenAI's ViT-B/16 or RN101, or of a tiny one, for MODEL.CLIP.NAME."""
    vit = (32, 32, 1, 64, 16) if tiny else (512, 224, 12, 768, 16)
    rn101 = (32, 64, (1, 1, 1, 1), 8, None) if tiny else (512, 224, (3, 4, 23, 3), 64, None)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = rn101 if resnet else vit
        text = (64, 1, 1) if tiny else (512, 8, 12)
        torch.save(CLIP(*sizes, 77, 49408, *text).half().state_dict(), file)


def _record(case: Case, vocabulary: Vocabulary) -> Record:
    """A photo as a mapper gives it, not resized."""
    height, width = case.photo
    image = torch.from_numpy(_photo(case.photo)).permute(2, 0, 1).contiguous()
    return {"image": image, "height": height, "width": width, "vocabulary": vocabulary}


def _photo(size: tuple[int, int]) -> np.ndarray:
    """(H,W,3) uint8 RGB: a photo of the scikit-image package."""
    return np.array(Image.fromarray(data.coffee()).resize(size[::-1]))
