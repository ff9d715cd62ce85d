"""An exported look compared with the model that it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import skimage
import torch
from PIL import Image

from zsk.data.images import read_image
from zsk.regions import Regions
from zsk.vocabulary import Vocabulary
from zsk.zsk_net import ZSKNet

from .formats import Runner
from .naming import label, name

TOLERANCE = 1e-3
SAMPLES = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
HEADER = "| model | format | size | photos | masks | head | clip | valid | words | equal labels |"


@dataclass
class Parity:
    """Differences over all photos; the values that are compared are those of `zsk.regions`.

    Attributes:
        largest: output → largest difference.
        outside: output → share of the values with a difference over TOLERANCE.
        labels: share of the pixels with equal labels, of each photo.
        words: the labels that occur.
    """

    largest: dict[str, float] = field(default_factory=dict)
    outside: dict[str, float] = field(default_factory=dict)
    labels: list[float] = field(default_factory=list)
    words: set[int] = field(default_factory=set)

    def row(self, model: str, format: str, size: tuple[int, int]) -> str:
        """A line of a table under HEADER; the labels are those of the worst photo."""
        cells = []
        for output in ("masks", "head", "clip", "valid"):
            largest, outside = self.largest.get(output), self.outside.get(output)
            over = f" ({outside:.2%} over {TOLERANCE:g})" if outside else ""
            cells.append("–" if largest is None else f"{largest:.1e}{over}")
        photos, height, width = len(self.labels), *size
        cells += [str(len(self.words)), f"{min(self.labels):.4%}"]
        return f"| {' | '.join([model, format, f'{height}×{width}', str(photos), *cells])} |"


def sample_photos() -> list[Path]:
    """Five photos inside the scikit-image package."""
    return [Path(skimage.__file__).parent / "data" / file for file in SAMPLES]


def compare(
    model: ZSKNet,
    run: Runner,
    words: Mapping[str, np.ndarray],
    vocabulary: Vocabulary,
    size: tuple[int, int],
    photos: Sequence[Path],
) -> Parity:
    """Look at photos, resized to `size` (H,W), in both ways, and label them at their own size.

    Args:
        model: in evaluation mode, on the CPU.
        run: the exported look.
        words, vocabulary: the same words for either way.

    Raises:
        UserError: a photo cannot be read.
    """
    found = Parity()
    for path in photos:
        image = Image.fromarray(read_image(path))
        photo = np.array(image.resize(size[::-1], Image.Resampling.BILINEAR))
        look, (height, width) = run(photo), image.size[::-1]
        tensor = torch.from_numpy(photo).permute(2, 0, 1)
        (regions,) = model.look([tensor])
        expected = outputs_of(regions)
        with torch.inference_mode():
            expected_labels = model.label(regions, vocabulary, (height, width)).numpy()
        labels = label(look["masks"], name(look, words), words, (height, width))
        found.words.update(np.unique(expected_labels).tolist())
        found.labels.append(float((labels == expected_labels).mean()))
        for output in look.keys() & expected.keys():
            if look[output].shape != expected[output].shape:
                continue  # CLASSIFIER linear: logits in place of embeddings, seen in the labels
            difference = np.abs(look[output].astype(np.float32) - expected[output])
            found.largest[output] = max(found.largest.get(output, 0), float(difference.max()))
            over = float((difference > TOLERANCE).mean()) / len(photos)
            found.outside[output] = found.outside.get(output, 0) + over
    return found


def outputs_of(regions: Regions) -> dict[str, np.ndarray]:
    """A look by the names that an export's outputs have."""
    values = {"masks": regions.masks, "head": regions.head_embeddings}
    if regions.clip_embeddings is not None and regions.valid is not None:
        values |= {"clip": regions.clip_embeddings, "valid": regions.valid.float()}
    return {key: value.cpu().numpy() for key, value in values.items()}
