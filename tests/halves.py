"""A model of three lines, without configuration or weights."""

import torch
from torch import nn

from zsk.answer import PixelAnswer


class Halves(nn.Module):
    """Sure of the first name in the left half, less so of the last one in the right half.

    It remembers the images that it looked at last, how many they were in each call, and λ.
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
        self.lam = lam
        scores = torch.zeros(len(vocabulary), *size)
        scores[0, :, : size[1] // 2] = 0.9
        scores[-1, :, size[1] // 2 :] = 0.4
        return PixelAnswer(lambda top, bottom: scores[:, top:bottom], size, len(vocabulary))
