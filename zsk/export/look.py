"""`ZSKNet.look` at one photo of one size, as tensor operations of fixed shape.

Letters: H×W photo, N proposals, h×w masks, E embedding width.
"""

from __future__ import annotations

from copy import copy

from torch import Tensor, nn

from zsk.label_map import finite
from zsk.looks.true_scale import resize_rows
from zsk.proposals.class_scores import LinearScores
from zsk.zsk_net import ZSKNet


class FixedLook(nn.Module):
    """The look of a model, to be exported.

    Args:
        model: in evaluation mode, on the CPU.
    """

    def __init__(self, model: ZSKNet) -> None:
        super().__init__()
        self.model = model
        self.regions = copy(model.region_encoder)
        self.regions.fixed = True
        self.linear_classes = linear_classes(model)
        self.outputs = ["masks"]
        if model.ensemble.mode != "clip":
            self.outputs += ["head"]
        if model.ensemble.mode != "head":
            self.outputs += ["clip", "valid"]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """One photo → those of `outputs`.

        Args:
            image: (H,W,3) uint8 RGB, H and W multiples of `side_divisor`.

        Returns:
            masks (N,h,w) float32 logits over the photo; head (N,E) float32 embeddings, or with
            CLASSIFIER linear (N,K+1) class logits; clip (N,E) float32 and valid (N,) bool.
        """
        model, pixels = self.model, image.permute(2, 0, 1).float()
        size = pixels.shape[-2:]
        sight = model.see(((pixels - model.pixel_mean) / model.pixel_std)[None])
        (head,), (masks,) = model.sem_seg_head(sight.levels)[-1]
        masks = finite(masks)
        if model.votes_at == "photo":
            masks = resize_rows(masks, None, size)
        found = {"masks": masks, "head": head}
        if self.linear_classes:
            text = head.new_zeros(self.linear_classes, 1)  # of which only the length is read
            found["head"] = model.sem_seg_head.class_logits(head, text)
        if "clip" in self.outputs:
            found["clip"], found["valid"] = self.regions(pixels, masks, None, sight.photo(0))
        return tuple(found[name] for name in self.outputs)


def side_divisor(model: ZSKNet) -> int:
    """What H and W have to be multiples of, so that masks cover the photo and nothing else."""
    return model.size_divisibility or model.stride


def linear_classes(model: ZSKNet) -> int:
    """The number of classes of a CLASSIFIER linear, 0 of another."""
    for part in model.modules():
        if isinstance(part, LinearScores):
            return part.num_classes
    return 0
