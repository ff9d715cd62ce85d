"""Writes a model's predictions: label PNGs, or masks as COCO's run-length encoding.

Letters: H×W photo, K classes of the joint vocabulary.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from pycocotools import mask as coco_mask

from zsk.errors import UserError
from zsk.files import replacing
from zsk.visualization import label_image
from zsk.vocabulary import Vocabulary

PNG_FOLDER = "predictions"
RLE_FILE = "predictions.json"


class PredictionDump(DatasetEvaluator):
    """Writes predictions as they come; memory does not grow with their number.

    "png" gives `predictions/<image_id>.png`, images of joint ids (`label_image`). "rle" gives
    `predictions.json`, a list of {"image_id", "category_id", "category", "segmentation"} in the
    order of the data set, one entry for each class that is found in an image; "category_id" is
    the joint id, "segmentation" an input of `pycocotools.mask.decode`. Each process writes its own
    predictions, so that several machines have to share `output_dir`, as Detectron2 expects it.

    Args:
        output_dir: the folder to write to.
        formats: "png", "rle" or both.
        vocabulary: the joint one.
        seen_only: the predictions are ids into `vocabulary.seen_only()`.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        formats: Sequence[str],
        vocabulary: Vocabulary,
        *,
        seen_only: bool = False,
    ) -> None:
        self._folder = Path(output_dir)
        self._formats = tuple(formats)
        self._vocabulary = vocabulary
        self._joint_ids = np.flatnonzero(vocabulary.seen if seen_only else np.ones(len(vocabulary)))
        self._written: set[str] = set()

    def reset(self) -> None:
        self._written = set()
        folder = self._folder / PNG_FOLDER if "png" in self._formats else self._folder
        folder.mkdir(parents=True, exist_ok=True)
        if "rle" in self._formats:
            self._part(comm.get_rank()).write_text("")

    def process(
        self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]
    ) -> None:
        """Write a batch.

        Args:
            inputs: records with an "image_id", the stem of the photo's file.
            outputs: per image {"pred_labels": (H,W) integer tensor}.
        """
        for record, output in zip(inputs, outputs):
            image_id = record["image_id"]
            if image_id in self._written:
                continue  # a loader's padding repeats images
            self._written.add(image_id)
            labels = self._joint_ids[output["pred_labels"].cpu().numpy()]
            if "png" in self._formats:
                image = label_image(labels, len(self._vocabulary))
                path = self._folder / PNG_FOLDER / f"{image_id}.png"
                path.parent.mkdir(parents=True, exist_ok=True)  # an id may name a sub-folder
                with replacing(path) as unfinished:
                    image.save(unfinished)
            if "rle" in self._formats:
                with open(self._part(comm.get_rank()), "a", encoding="utf-8") as file:
                    for label in np.unique(labels).tolist():
                        entry = self._entry(image_id, label, labels == label)
                        file.write(json.dumps(entry) + "\n")

    def evaluate(self) -> None:
        """Put the processes' parts of the JSON file together."""
        if "rle" not in self._formats:
            return
        comm.synchronize()
        if not comm.is_main_process():
            return
        parts = [self._part(rank) for rank in range(comm.get_world_size())]
        target = self._folder / RLE_FILE
        with replacing(target) as unfinished, open(unfinished, "w", encoding="utf-8") as file:
            separator = "[\n"
            for part in parts:
                if not part.is_file():
                    raise UserError(
                        f"{part} of another process is missing: TEST.DUMP rle needs an OUTPUT_DIR "
                        "that all machines share"
                    )
                with open(part, encoding="utf-8") as lines:
                    for line in lines:
                        file.write(separator + line.rstrip("\n"))
                        separator = ",\n"
            file.write("\n]\n" if separator == ",\n" else "[]\n")
        for part in parts:
            part.unlink()

    def _part(self, rank: int) -> Path:
        return self._folder / f"{RLE_FILE}.part{rank}"

    def _entry(self, image_id: str, label: int, mask: np.ndarray) -> dict[str, Any]:
        """The JSON entry of a class whose mask is (H,W) bool."""
        encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        return {
            "image_id": image_id,
            "category_id": label,
            "category": self._vocabulary.names[label],
            "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode()},
        }
