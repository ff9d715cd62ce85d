"""Classes and records of the evaluation tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from zsk.vocabulary import Vocabulary

NAME = "animals"  # of the data set in conftest.py
VOCABULARY = Vocabulary(("cat", "dog", "cow"), ("cat", "dog", "cow"), (True, True, False))


def label_record(
    folder: Path, stem: str, gt: Sequence[Sequence[int]], vocabulary: Vocabulary = VOCABULARY
) -> dict:
    """A mapped record whose label PNG holds `gt`."""
    label = np.array(gt, dtype=np.uint8)
    Image.fromarray(label).save(folder / f"{stem}.png")
    return {
        "file_name": str(folder / f"{stem}.jpg"),
        "sem_seg_file_name": str(folder / f"{stem}.png"),
        "image_id": stem,
        "photo_orientation": 1,
        "height": label.shape[0],
        "width": label.shape[1],
        "vocabulary": vocabulary,
    }
