"""Writes what the model predicted: label PNGs, or masks as COCO's run-length encoding.

Letters: H×W photo, K classes of the joint vocabulary.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from pycocotools import mask as coco_mask

from zsk.errors import UserError
from zsk.visualization import label_image
from zsk.vocabulary import Vocabulary

DumpFormat = Literal["png", "rle"]

PNG_FOLDER = "predictions"
RLE_FILE = "predictions.json"


class PredictionDump(DatasetEvaluator):
    """Writes predictions as they come; memory does not grow with their number.

    "png" gives `predictions/<image_id>.png`, palette images that hold joint ids. "rle" gives
    `predictions.json`, a list of {"image_id", "category_id", "category", "segmentation"} in the
    order of the data set, one entry for each class that is found in an image; "category_id" is
    the joint id, "segmentation" what `pycocotools.mask.decode` reads. Each process writes what it
    predicted, so that several machines have to share `output_dir`, as Detectron2 expects it.

    Args:
        output_dir: the folder to write to.
        formats: "png", "rle" or both.
        vocabulary: the joint one.
        seen_only: the predictions are ids into `vocabulary.seen_only()`.

    Raises:
        UserError: another format.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        formats: Sequence[str],
        vocabulary: Vocabulary,
        *,
        seen_only: bool = False,
    ) -> None:
        unknown = [name for name in formats if name not in get_args(DumpFormat)]
        if unknown:
            raise UserError(
                f"TEST.DUMP lists {unknown[0]!r}: choose from {', '.join(get_args(DumpFormat))}"
            )
        self._folder = Path(output_dir)
        self._formats = tuple(formats)
        self._vocabulary = vocabulary
        kept = np.array(vocabulary.seen) if seen_only else np.ones(len(vocabulary), dtype=bool)
        self._joint_ids = np.flatnonzero(kept)
        self._written: set[str] = set()

    def reset(self) -> None:
        self._written = set()
        if "png" in self._formats:
            (self._folder / PNG_FOLDER).mkdir(parents=True, exist_ok=True)
        if "rle" in self._formats:
            self._folder.mkdir(parents=True, exist_ok=True)
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
                image.save(self._folder / PNG_FOLDER / f"{image_id}.png")
            if "rle" in self._formats:
                with open(self._part(comm.get_rank()), "a", encoding="utf-8") as file:
                    for entry in self._entries(image_id, labels):
                        file.write(json.dumps(entry) + "\n")

    def evaluate(self) -> None:
        """Put the processes' parts of the JSON file together."""
        if "rle" not in self._formats:
            return
        comm.synchronize()
        if not comm.is_main_process():
            return
        parts = [self._part(rank) for rank in range(comm.get_world_size())]
        partial = self._folder / (RLE_FILE + ".partial")
        with open(partial, "w", encoding="utf-8") as file:
            separator = "[\n"
            for part in parts:
                for line in _lines(part):
                    file.write(separator + line)
                    separator = ",\n"
            file.write("\n]\n" if separator == ",\n" else "[]\n")
        os.replace(partial, self._folder / RLE_FILE)
        for part in parts:
            part.unlink()

    def _part(self, rank: int) -> Path:
        return self._folder / f"{RLE_FILE}.part{rank}"

    def _entries(self, image_id: str, labels: np.ndarray) -> Iterator[dict[str, Any]]:
        """One entry per class in (H,W) joint ids."""
        for label in np.unique(labels).tolist():
            encoded = coco_mask.encode(np.asfortranarray(labels == label, dtype=np.uint8))
            yield {
                "image_id": image_id,
                "category_id": label,
                "category": self._vocabulary.names[label],
                "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode()},
            }


def _lines(part: Path) -> Iterator[str]:
    """The lines of a process's part, without their ends."""
    try:
        with open(part, encoding="utf-8") as file:
            for line in file:
                yield line.rstrip("\n")
    except FileNotFoundError as error:
        raise UserError(
            f"{part} of another process is missing: TEST.DUMP rle needs an OUTPUT_DIR that all "
            "machines share"
        ) from error
