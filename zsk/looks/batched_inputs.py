"""Mapped records -> tensors and labels: what every meta-architecture has in common.

Shape letters: B records, H x W image.
"""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.structures import ImageList
from torch import Tensor, nn

from zsk.answer import Answer
from zsk.vocabulary import Vocabulary, ignore_label

Record = dict[str, Any]


class PhotoModel(nn.Module):
    """Looks at photos, then names what it saw with any words."""

    def look(self, images: Sequence[Tensor]) -> list[Any]:
        """Images (3,H,W) uint8 RGB -> what `answer` takes of each, whatever the words."""
        raise NotImplementedError

    def answer(
        self, look: Any, vocabulary: Vocabulary, size: tuple[int, int], lam: float | None = None
    ) -> Answer:
        """Name what was seen; `size` (H,W) of the label map, `lam` replaces λ of the ensemble."""
        raise NotImplementedError

    def label(self, look: Any, vocabulary: Vocabulary, size: tuple[int, int]) -> Tensor:
        """Name what was seen, then label every pixel: (H,W) int64, ids into the vocabulary."""
        return self.answer(look, vocabulary, size).label().labels

    def forward(self, batched_inputs: list[Record]) -> Any:
        """Look, name, label: one `result` per record. Models that are trained add their losses."""
        looks = self.look([record["image"] for record in batched_inputs])
        return [self.result(*pair) for pair in zip(looks, batched_inputs)]

    def result(self, look: Any, record: Record) -> dict[str, Any]:
        """What is labelled with the record's words: int64 ids into its vocabulary.

        Returns:
            "pred_labels" (height,width) and, of a record with "cells", "pred_cells" of that size.
        """
        sizes = {"pred_labels": (record["height"], record["width"])}
        if "cells" in record:
            sizes["pred_cells"] = record["cells"]
        return {key: self.label(look, record["vocabulary"], size) for key, size in sizes.items()}


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
    """The label maps (H,W) of B records, or the weights of their labels, as (B,H',W').

    H' and W' are those of the images, rounded up to multiples of `stride` as maps are
    (`zsk.looks.true_scale`). The padding of labels is the ignore label, that of weights 0.
    """
    padding = 0 if key == "label_weights" else ignore_label(len(records[0]["vocabulary"]))
    maps = [record[key].to(device) for record in records]
    return ImageList.from_tensors(maps, stride, pad_value=padding).tensor


def groups_of_one_size(images: Sequence[Tensor]) -> list[list[int]]:
    """Indices of the images that may go through a network together: those of one size.

    Padding would change global pooling and group features, and the result of an image must not
    depend on the others of its batch.
    """
    groups: dict[torch.Size, list[int]] = {}
    for i, image in enumerate(images):
        groups.setdefault(image.shape, []).append(i)
    return list(groups.values())
