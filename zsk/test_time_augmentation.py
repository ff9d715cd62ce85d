"""Multi-scale and mirrored views of a photo, their scores averaged: TEST.AUG.

Shape letters: H x W photo, N kernels, K classes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from zsk.batched_inputs import Record
from zsk.data.augmentations import eval_augmentations
from zsk.errors import UserError
from zsk.semantic_inference import label_map_of_views
from zsk.zsk_net import ZSKNet


class ZSKNetWithTTA(nn.Module):
    """A ZSKNet in evaluation that looks at every photo several times.

    One view goes through the model at a time, and only its proposals are kept, so that memory is
    that of the largest view plus N small masks per view.
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

    @torch.inference_mode()
    def forward(self, batched_inputs: list[Record]) -> list[dict[str, Tensor]]:
        """Per record {"pred_labels": (height,width) int64}, as ZSKNet gives it.

        Args:
            batched_inputs: as ZSKNet takes them, "image" on the CPU and best not resized before.
        """
        return [
            {
                "pred_labels": label_map_of_views(
                    list(self.named_views(record)),
                    (record["height"], record["width"]),
                    self.model.mask_votes,
                )
            }
            for record in batched_inputs
        ]

    def named_views(self, record: Record) -> Iterator[tuple[Tensor, Tensor]]:
        """Probabilities (N,K) and mask logits (N,h,w) of each view; mirrored ones turned back.

        All proposals are named: what cannot change the labels of one view may change the sum's.
        """
        photo = record["image"].permute(1, 2, 0).numpy()
        for resize in self.resizes:
            view = T.AugInput(photo)
            resize(view)
            image = torch.from_numpy(view.image.copy()).permute(2, 0, 1)
            yield self.model.named_proposals([{**record, "image": image}], prune=False)[0]
            if self.flip:
                mirrored: dict[str, Any] = {**record, "image": image.flip(-1)}
                probs, masks = self.model.named_proposals([mirrored], prune=False)[0]
                yield probs, masks.flip(-1)


def with_test_time_augmentation(cfg: CfgNode, model: nn.Module) -> nn.Module:
    """The model as TEST.AUG wants it: as it is, or looking at several views."""
    if not cfg.TEST.AUG.ENABLED:
        return model
    # distributed training evaluates what it wraps
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    assert isinstance(inner, ZSKNet)
    return ZSKNetWithTTA(inner, cfg.TEST.AUG.MIN_SIZES, cfg.TEST.AUG.MAX_SIZE, cfg.TEST.AUG.FLIP)
