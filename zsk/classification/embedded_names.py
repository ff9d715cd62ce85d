"""Text embeddings of ImageNet's 1000 class names, in a file beside this one.

The file saves every process the time of encoding the names. It holds encode_names() in half
precision; `python -m zsk.classification.embedded_names` writes it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .embedded_text import load_minilm, tokenize

NAME_PROMPT = "a photo of a {}."  # better than bare names
NAMES_FILE = Path(__file__).with_name("imagenet_names.npy")


def load_names() -> Tensor:
    """(1000,E) float32 unit rows on the CPU, in the order of the classifiers' outputs."""
    return F.normalize(torch.from_numpy(np.load(NAMES_FILE)).float(), dim=1)


def encode_names(indices: Sequence[int] = range(1000)) -> Tensor:
    """(N,E) float32 unit rows of the N names at `indices`, each the mean over the name's synonyms.

    The synonyms are WordNet's, as timm lists them. Raises UserError where a package is missing.
    """
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    minilm, tokenizer = load_minilm()
    rows = []
    with torch.no_grad():
        for index in indices:
            synonyms = info.index_to_description(index).split(", ")
            prompts = [NAME_PROMPT.format(synonym) for synonym in synonyms]
            units = F.normalize(minilm.eval()(*tokenize(tokenizer, prompts)), dim=1)
            rows.append(F.normalize(units.mean(dim=0), dim=0))
    return torch.stack(rows)


if __name__ == "__main__":
    np.save(NAMES_FILE, encode_names().half().numpy())
