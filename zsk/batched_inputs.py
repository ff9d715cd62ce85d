"""Mapped records -> tensors: what every meta-architecture does with its `batched_inputs`.

Shape letters: B records, H x W image.
"""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.structures import ImageList
from torch import Tensor

from zsk.vocabulary import IGNORE_LABEL, Vocabulary

Record = dict[str, Any]


def padded_images(records: Sequence[Record], pixel_mean: Tensor, pixel_std: Tensor) -> ImageList:
    """The records' "image" (3,H,W), normalised on the mean's device and padded to one size."""
    return ImageList.from_tensors(
        [(r["image"].to(pixel_mean.device) - pixel_mean) / pixel_std for r in records]
    )


def laid_out(pixels: Tensor, training: bool) -> Tensor:
    """(B,3,H,W) as convolutions take them fastest: channels_last, which all further maps then are.

    ResNet-101 takes 8 % less time so, a training step with either head 5 % (two threads of a CPU).
    Training on a GPU, where it was not measured, keeps the layout.
    """
    if training and pixels.device.type != "cpu":
        return pixels
    return pixels.contiguous(memory_format=torch.channels_last)


def padded_labels(records: Sequence[Record], device: torch.device, key: str = "sem_seg") -> Tensor:
    """The records' label maps (H,W) as (B,H',W'), padded as the images are; padding is ignored."""
    return ImageList.from_tensors(
        [r[key].to(device) for r in records], pad_value=IGNORE_LABEL
    ).tensor


def groups_of_one_kind(records: Sequence[Record]) -> list[list[int]]:
    """Indices of the records that may go through a model together: one size, one vocabulary.

    Padding would leak into ASPP's global pooling and the group features, and an image's result
    must not depend on its neighbours.
    """
    groups: dict[Any, list[int]] = {}
    for i, record in enumerate(records):
        groups.setdefault((tuple(record["image"].shape), record["vocabulary"]), []).append(i)
    return list(groups.values())


def shared_vocabulary(records: Sequence[Record]) -> Vocabulary:
    """The vocabulary of a batch. Raises ValueError when its records have different ones."""
    vocabulary = records[0]["vocabulary"]
    if any(record["vocabulary"] != vocabulary for record in records):
        raise ValueError("the records of a training batch have different vocabularies")
    return vocabulary
