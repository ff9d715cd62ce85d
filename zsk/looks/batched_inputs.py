"""Mapped records -> tensors: the inputs of every meta-architecture.

Shape letters: B records, H x W image.
"""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.structures import ImageList
from torch import Tensor

from zsk.vocabulary import Vocabulary, ignore_label

Record = dict[str, Any]


def look_and_label(model: Any, records: Sequence[Record]) -> list[dict[str, Tensor]]:
    """`look` at the images, then `labels_of_record`."""
    looks = model.look([record["image"] for record in records])
    return [labels_of_record(model, look, record) for look, record in zip(looks, records)]


def labels_of_record(model: Any, look: Any, record: Record) -> dict[str, Tensor]:
    """What `model` labels with the record's words: int64 ids into its vocabulary.

    Returns:
        "pred_labels" (height,width) and, of a record with "cells", "pred_cells" of that size.
    """
    sizes = {"pred_labels": (record["height"], record["width"])}
    if "cells" in record:
        sizes["pred_cells"] = record["cells"]
    return {key: model.label(look, record["vocabulary"], size) for key, size in sizes.items()}


def padded_images(
    images: Sequence[Tensor], pixel_mean: Tensor, pixel_std: Tensor, divisibility: int = 0
) -> Tensor:
    """B images (3,H,W), normalised on the mean's device and padded to one size: (B,3,H',W').

    H' and W' are multiples of `divisibility` (0: any); padding has the colour of the mean. The
    layout is channels_last, in which convolutions are faster on a CPU.
    """
    normalised = [(image.to(pixel_mean.device) - pixel_mean) / pixel_std for image in images]
    padded = ImageList.from_tensors(normalised, divisibility).tensor
    return padded.contiguous(memory_format=torch.channels_last)


def padded_labels(
    records: Sequence[Record], device: torch.device, stride: int, key: str = "sem_seg"
) -> Tensor:
    """The label maps (H,W) of B records as (B,H',W'), padded with the ignore label.

    H' and W' are those of the images, rounded up to multiples of `stride` as maps are
    (`zsk.looks.true_scale`).
    """
    ignore = ignore_label(len(records[0]["vocabulary"]))
    labels = [record[key].to(device) for record in records]
    return ImageList.from_tensors(labels, stride, pad_value=ignore).tensor


def padded_weights(records: Sequence[Record], device: torch.device, stride: int) -> Tensor | None:
    """The "label_weights" of B records as (B,H',W') float32, as `padded_labels`; None without."""
    if "label_weights" not in records[0]:
        return None
    weights = [record["label_weights"].to(device) for record in records]
    return ImageList.from_tensors(weights, stride, pad_value=0.0).tensor


def groups_of_one_size(images: Sequence[Tensor]) -> list[list[int]]:
    """Indices of the images that may go through a network together: those of one size.

    Padding would change global pooling and group features, and the result of an image must not
    depend on the others of its batch.
    """
    groups: dict[torch.Size, list[int]] = {}
    for i, image in enumerate(images):
        groups.setdefault(image.shape, []).append(i)
    return list(groups.values())


def shared_vocabulary(records: Sequence[Record]) -> Vocabulary:
    """The vocabulary of a batch. Raises ValueError when its records have different ones."""
    vocabulary = records[0]["vocabulary"]
    if any(record["vocabulary"] != vocabulary for record in records):
        raise ValueError("the records of a training batch have different vocabularies")
    return vocabulary
