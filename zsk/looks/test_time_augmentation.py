"""Test-time augmentation (TEST.AUG): resized and mirrored views of a photo, scores averaged."""

from collections.abc import Iterator, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from zsk.answer import MaskAnswer
from zsk.data.augmentations import ResizeShortestEdge
from zsk.errors import UserError
from zsk.looks.batched_inputs import PhotoModel
from zsk.looks.tiles import ZSKNetInTiles
from zsk.regions import Regions
from zsk.vocabulary import Vocabulary
from zsk.zsk_net import ZSKNet


class ZSKNetWithTTA(PhotoModel):
    """Looks at every photo several times.

    One view at a time goes through the network; the masks of all views are kept until the photo
    is labelled. The images are on the CPU, and best not resized before.
    """

    def __init__(
        self,
        model: ZSKNet,
        min_sizes: Sequence[int],
        max_size: int,
        flip: bool,
        multiple: int = 1,
    ):
        """
        Args:
            model: in evaluation mode when it is called.
            min_sizes: shortest sides of the views in pixels, 0 for the photo's own; one or more.
            max_size: the longest side in pixels of any view.
            flip: add a mirrored view of each size.
            multiple: of which the sides of all views are (INPUT.SIDE_MULTIPLE_TEST).
        """
        super().__init__()
        self.model = model
        self.resizes = [
            T.AugmentationList([ResizeShortestEdge(s, max_size, multiple)]) for s in min_sizes
        ]
        self.flip = flip

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

    def answer(
        self,
        look: Sequence[Regions],
        vocabulary: Vocabulary,
        size: tuple[int, int],
        lam: float | None = None,
    ) -> MaskAnswer:
        """Name the regions of all views; scores are averaged."""
        return self.model.answer(look, vocabulary, size, lam)


def with_test_time_augmentation(cfg: CfgNode, model: nn.Module) -> nn.Module:
    """The model as TEST.AUG and TEST.TILES want it: as it is, or looking several times.

    Raises:
        UserError: both are asked for.
    """
    side, views = cfg.TEST.TILES, cfg.TEST.AUG
    if not side and not views.ENABLED:
        return model
    if side and views.ENABLED:
        raise UserError(
            f"TEST.TILES is {side} and TEST.AUG.ENABLED is True, but one photo is looked at either "
            "in tiles or in views: set TEST.TILES to 0 or TEST.AUG.ENABLED to False"
        )
    # distributed training evaluates what it wraps
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    assert isinstance(inner, ZSKNet)
    if side:
        return ZSKNetInTiles(inner, side)
    return ZSKNetWithTTA(
        inner, views.MIN_SIZES, views.MAX_SIZE, views.FLIP, cfg.INPUT.SIDE_MULTIPLE_TEST
    )
