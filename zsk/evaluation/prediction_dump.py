"""Writes a model's predictions: label PNGs, or masks as COCO's run-length encoding.

Letters: H×W photo, K classes of the joint vocabulary.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from zsk.files import replacing
from zsk.segments import run_lengths
from zsk.visualization import label_image
from zsk.vocabulary import Vocabulary

PNG_FOLDER = "predictions"
RLE_FILE = "predictions.json"


class PredictionDump(DatasetEvaluator):
    """Writes a data set's predictions.

    "png" gives `predictions/<image_id>.png`, images of joint ids (`label_image`), as they come.
    "rle" gives `predictions.json`, a list of {"image_id", "category_id", "category",
    "segmentation"} in the order of the data set, one entry for each class that is found in an
    image; "category_id" is the joint id, "segmentation" an input of `pycocotools.mask.decode`.

    Args:
        formats: "png", "rle" or both.
        vocabulary: the joint one.
        joint_ids: predicted id → joint id; None: they are the same.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        formats: Sequence[str],
        vocabulary: Vocabulary,
        *,
        joint_ids: Sequence[int] | np.ndarray | None = None,
    ) -> None:
        self._folder = Path(output_dir)
        self._formats = tuple(formats)
        self._vocabulary = vocabulary
        self._joint_ids = np.arange(len(vocabulary)) if joint_ids is None else np.array(joint_ids)
        self.reset()

    def reset(self) -> None:
        self._entries: dict[str, list[dict[str, Any]]] = {}

    def process(
        self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]
    ) -> None:
        """Take records with an "image_id", and {"pred_labels": (H,W) integer tensor} of each."""
        for record, output in zip(inputs, outputs):
            image_id = record["image_id"]
            if image_id in self._entries:
                continue  # a loader's padding repeats images
            labels = self._joint_ids[output["pred_labels"].cpu().numpy()]
            if "png" in self._formats:
                path = self._folder / PNG_FOLDER / f"{image_id}.png"
                path.parent.mkdir(parents=True, exist_ok=True)  # an id may name a sub-folder
                with replacing(path) as unfinished:
                    label_image(labels, len(self._vocabulary)).save(unfinished)
            found = np.unique(labels).tolist() if "rle" in self._formats else ()
            self._entries[image_id] = [
                {
                    "image_id": image_id,
                    "category_id": label,
                    "category": self._vocabulary.names[label],
                    "segmentation": run_lengths(labels == label),
                }
                for label in found
            ]

    def evaluate(self) -> None:
        """Put the processes' masks together."""
        if "rle" not in self._formats:
            return
        parts = comm.gather([entry for image in self._entries.values() for entry in image])
        if comm.is_main_process():
            self._folder.mkdir(parents=True, exist_ok=True)
            entries = ",\n".join(map(json.dumps, chain(*parts)))
            with replacing(self._folder / RLE_FILE) as unfinished:
                unfinished.write_text(f"[{entries}]\n")
