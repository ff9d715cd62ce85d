"""Writes the text embeddings of ImageNet's class names, which the embedded encoder reads.

python tools/training/imagenet_names.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from timm.data.imagenet_info import ImageNetInfo  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from zsk.classification.embedded_text import NAMES_FILE, load_minilm, tokenize  # noqa: E402
from zsk.errors import run_cli  # noqa: E402
from zsk.files import replacing  # noqa: E402

NAME_PROMPT = "a photo of a {}."  # better than bare names


def encode_names(indices: Sequence[int] = range(1000)) -> Tensor:
    """(N,E) float32 unit rows of the N names at `indices`, each the mean over the name's synonyms.

    The synonyms are WordNet's, as timm lists them. Raises UserError where a package is missing.
    """
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


def main() -> None:
    with replacing(NAMES_FILE) as unfinished:
        np.save(unfinished, encode_names().half().numpy())


if __name__ == "__main__":
    run_cli(main)
