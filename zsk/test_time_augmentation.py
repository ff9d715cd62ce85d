"""Test-time augmentation (TEST.AUG): resized and mirrored views of a photo, scores averaged."""

from collections.abc import Iterator, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from zsk.batched_inputs import Record
from zsk.data.augmentations import eval_augmentations
from zsk.errors import UserError
from zsk.label_map import View, label_map
from zsk.regions import Regions
from zsk.vocabulary import Vocabulary
from zsk.zsk_net import ZSKNet


class ZSKNetWithTTA(nn.Module):
    """A ZSKNet in evaluation that looks at every photo several times.

    One view at a time goes through the network; the masks of all views are kept until the photo
    is labelled.
    """

    def __init__(self, model: ZSKNet, min_sizes: Sequence[int], max_size: int, flip: bool):
        """
        Args:
            model: in evaluation mode when it is called.
            min_sizes: shortest sides of the views in pixels, 0 for the photo's own; one or more.
            max_size: the longest side in pixels of any view.
            flip: add a mirrored view of each size.

        Raises:
            UserError: no size, or one that no image can have.
        """
        super().__init__()
        if not min_sizes or min(min_sizes) < 0 or max_size < 1:
            raise UserError(
                f"TEST.AUG.MIN_SIZES {list(min_sizes)} and TEST.AUG.MAX_SIZE {max_size} give no "
                "view: list shortest sides in pixels, and a longest side of at least 1"
            )
        self.model = model
        self.resizes = [T.AugmentationList(eval_augmentations(s, max_size)) for s in min_sizes]
        self.flip = flip

    def forward(self, batched_inputs: list[Record]) -> list[dict[str, Tensor]]:
        """Look, name, label: per record {"pred_labels": (height,width) int64}.

        Args:
            batched_inputs: as ZSKNet takes them, "image" on the CPU and best not resized before.
        """
        looks = self.look([record["image"] for record in batched_inputs])
        return [
            {
                "pred_labels": self.label(
                    views, record["vocabulary"], (record["height"], record["width"])
                )
            }
            for record, views in zip(batched_inputs, looks)
        ]

    def look(self, images: Sequence[Tensor]) -> list[list[Regions]]:
        """Images (3,H,W) uint8 on the CPU -> the regions of all views of each."""
        return [list(self.views(image)) for image in images]

    def views(self, image: Tensor) -> Iterator[Regions]:
        """The regions of each view, with the masks of mirrored views turned back."""
        photo = image.permute(1, 2, 0).numpy()
        for resize in self.resizes:
            view = T.AugInput(photo)
            resize(view)
            resized = torch.from_numpy(view.image.copy()).permute(2, 0, 1)
            yield self.model.look([resized])[0]
            if self.flip:
                (regions,) = self.model.look([resized.flip(-1)])
                yield regions.mirrored()

    def label(
        self, views: Sequence[Regions], vocabulary: Vocabulary, size: tuple[int, int]
    ) -> Tensor:
        """Name the regions of all views, then label every pixel by the averaged scores."""
        named = [View(self.model.name(r, vocabulary), r.masks, r.box) for r in views]
        return label_map(named, size, self.model.mask_softmax)


def with_test_time_augmentation(cfg: CfgNode, model: nn.Module) -> nn.Module:
    """The model as TEST.AUG wants it: as it is, or looking at several views."""
    if not cfg.TEST.AUG.ENABLED:
        return model
    # distributed training evaluates what it wraps
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    assert isinstance(inner, ZSKNet)
    return ZSKNetWithTTA(inner, cfg.TEST.AUG.MIN_SIZES, cfg.TEST.AUG.MAX_SIZE, cfg.TEST.AUG.FLIP)
