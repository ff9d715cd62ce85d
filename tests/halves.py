"""A model of three lines, without configuration or weights."""

from typing import Any

import pytest
import torch
from torch import nn

from zsk import segmenter
from zsk.answer import PixelAnswer
from zsk.config import default_config
from zsk.engine import trained_model


class Halves(nn.Module):
    """Sure of the first name in the left half, less so of the last one in the right half.

    It remembers the images that it looked at last, how many they were in each call, the vocabulary
    and λ.
    """

    def __init__(self):
        super().__init__()
        self.calls = []

    def look(self, images):
        self.images = images
        self.calls.append(len(images))
        return ["what was seen"] * len(images)

    def answer(self, look, vocabulary, size, lam=None):
        assert look == "what was seen"
        self.vocabulary, self.lam = vocabulary, lam
        scores = torch.zeros(len(vocabulary), *size)
        scores[0, :, : size[1] // 2] = 0.9
        scores[-1, :, size[1] // 2 :] = 0.4
        return PixelAnswer(lambda top, bottom: scores[:, top:bottom], size, len(vocabulary))


def use_halves(patch: pytest.MonkeyPatch, *trained: str) -> dict[str, Any]:
    """Give every new `Segmenter` the model `Halves`, which had masks of the `trained` names.

    Returns:
        what the last one asked for: config_file, weights, whether the model was in training, and
        its model.
    """
    asked: dict[str, Any] = {}

    def load_config(config_file, opts):
        cfg = default_config()
        cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 64, 128
        cfg.MODEL.WEIGHTS = "default.pth"
        cfg.merge_from_list(list(opts))
        asked["config_file"] = config_file
        return cfg

    def load_weights(model, path):
        asked.update(weights=path, training=model.training, model=model)
        return {}

    patch.setattr(segmenter, "load_config", load_config)
    patch.setattr(trained_model, "build_model", lambda cfg: Halves())
    patch.setattr(trained_model, "load_weights", load_weights)
    patch.setattr(segmenter, "trained_names", lambda _, seen=True: trained if seen else ())
    return asked
