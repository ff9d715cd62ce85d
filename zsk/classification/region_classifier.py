"""Names mask proposals by encoding what each of them shows (method, section 3).

Letters: N proposals, h×w mask size, H×W image, R crops, K classes, E width of the text space, S
side of a crop. Boxes are (x0, y0, x1, y1) in pixels of the image, edges at integers: x1 and y1 are
exclusive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from zsk.errors import UserError

from .encoder import VisionLanguageEncoder
from .region_queue import Pruning, RegionQueue, RegionRequest

MASKS_AT_ONCE = 8  # enlarged to the image's size: bounds the memory


class RegionScores(NamedTuple):
    """probs (N,K) float32, rows sum to 1 or, where invalid, are 0; valid (N,) bool."""

    probs: Tensor
    valid: Tensor


class RegionClassifier(nn.Module):
    """Crops each proposal, hides what lies outside its mask, and compares it with the class names.

    Args:
        encoder: the frozen image side.
        mask_threshold: in (0,1), where the masks' sigmoid is cut.
        chunk_size: crops encoded at once, of one image or of several; of each image of a batch as
            many are cut at a time. Bounds the memory, changes no result.
        pruning: what `classify` may leave out.

    Leaving the surroundings in, dimmed or whole, and larger boxes were measured and are worse: see
    embedded_encoder.py. Raises UserError for a number outside its range.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        encoder: VisionLanguageEncoder,
        mask_threshold: float = 0.5,
        chunk_size: int = 32,
        pruning: Pruning = Pruning(),
    ) -> None:
        super().__init__()
        if not 0 < mask_threshold < 1:
            raise UserError(f"the mask threshold must be between 0 and 1, but is {mask_threshold}")
        if chunk_size < 1:
            raise UserError(f"the chunk size must be at least 1, but is {chunk_size}")
        self.encoder = encoder
        self.logit_threshold = math.log(mask_threshold / (1 - mask_threshold))
        self.chunk_size = chunk_size
        self.pruning = pruning
        mean, std = torch.tensor(encoder.pixel_mean), torch.tensor(encoder.pixel_std)
        self.register_buffer("pixel_mean", mean.view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", std.view(3, 1, 1), persistent=False)

    def forward(self, image: Tensor, mask_logits: Tensor, text: Tensor) -> RegionScores:
        """Class probabilities of all N proposals of one image; arguments as in RegionRequest.

        Returns:
            RegionScores without gradient. A mask with no pixel over the threshold is invalid: it is
            never encoded and its row is 0.
        """
        return self.classify([RegionRequest(image, mask_logits, text)])[0]

    @torch.no_grad()
    def classify(self, requests: Sequence[RegionRequest]) -> list[RegionScores]:
        """As `forward`, for several images, whose crops are encoded together.

        With `pruning`, what cannot change a label is not encoded: it keeps a row of 0 and is valid.
        What is left out depends on its own image only.
        """
        queues = [
            RegionQueue(request, self.logit_threshold, self.chunk_size, self.pruning)
            for request in requests
        ]
        with torch.autocast(self.pixel_mean.device.type, enabled=False):
            while rounds := [(q, i) for q in queues if len(i := q.next_round())]:
                self._classify_rounds(rounds)
        return [RegionScores(queue.probs, queue.valid) for queue in queues]

    def _classify_rounds(self, rounds: Sequence[tuple[RegionQueue, Tensor]]) -> None:
        crops, shown = zip(*(self._crops(queue.request, indices) for queue, indices in rounds))
        features = torch.cat(
            [self.encoder.encode_image(c) for c in torch.cat(crops).split(self.chunk_size)]
        )
        parts = features.split([len(c) for c in crops])
        for (queue, indices), part, seen in zip(rounds, parts, shown):
            probs = part.new_zeros(len(indices), len(queue.request.text))
            scores = self.encoder.logit_scale * part @ queue.request.text.float().T
            probs[seen] = scores.softmax(dim=1)
            queue.take(indices, probs, seen)

    def _crops(self, request: RegionRequest, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Crops of those of the R proposals that show a pixel, and (R,) bool which do."""
        # Before the crops: the pixels that are then set to 0 get the pixel mean.
        pixels = (request.image.float() - self.pixel_mean) / self.pixel_std
        crops, shown = [], []
        for chunk in indices.split(MASKS_AT_ONCE):
            masks = binary_masks(
                request.mask_logits[chunk], pixels.shape[-2:], self.logit_threshold
            )
            shown.append(occupied(masks, (1, 2)))
            crops.append(masked_crops(pixels, masks[shown[-1]], self.encoder.input_size))
        return torch.cat(crops), torch.cat(shown)


class OnePassClassifier(RegionClassifier):
    """Names all proposals from one look at the whole photo: features pooled under each mask.

    Called as RegionClassifier is. One forward pass instead of one per proposal; `chunk_size` and
    `pruning` have no part in it.
    """

    @torch.no_grad()
    def forward(self, image: Tensor, mask_logits: Tensor, text: Tensor) -> RegionScores:
        pixels = (image.float() - self.pixel_mean) / self.pixel_std
        probs = text.new_zeros(len(mask_logits), len(text), dtype=torch.float32)
        with torch.autocast(probs.device.type, enabled=False):
            masks = mask_logits > self.logit_threshold
            valid = masks.flatten(1).any(dim=1)
            features = self.encoder.encode_regions(pixels, masks[valid].float())
            probs[valid] = (self.encoder.logit_scale * features @ text.float().T).softmax(dim=1)
        return RegionScores(probs, valid)

    def classify(self, requests: Sequence[RegionRequest]) -> list[RegionScores]:
        return [self(request.image, request.mask_logits, request.text) for request in requests]


REGION_MODES = {"crop": RegionClassifier, "one_pass": OnePassClassifier}


def build_region_classifier(
    mode: str,
    encoder: VisionLanguageEncoder,
    mask_threshold: float,
    chunk_size: int,
    pruning: Pruning = Pruning(),
) -> RegionClassifier:
    """The classifier that MODEL.CLIP.REGION_MODE names.

    Raises:
        UserError: there is no such mode, or the encoder does not take it.
    """
    if mode not in REGION_MODES:
        known = ", ".join(REGION_MODES)
        raise UserError(f"MODEL.CLIP.REGION_MODE is {mode!r}: choose one of {known}")
    if mode == "one_pass" and not encoder.takes_regions:
        raise UserError(
            "MODEL.CLIP.REGION_MODE is one_pass, but this encoder takes only crops: use crop"
        )
    return REGION_MODES[mode](encoder, mask_threshold, chunk_size, pruning)


def binary_masks(mask_logits: Tensor, size: Sequence[int], logit_threshold: float) -> Tensor:
    """(N,h,w) logits → (N,H,W) bool: upsampled bilinearly, true where over the threshold."""
    upsampled = F.interpolate(
        mask_logits[:, None].float(), size=tuple(size), mode="bilinear", align_corners=False
    )
    return upsampled[:, 0] > logit_threshold


def occupied(masks: Tensor, dim: int | tuple[int, int]) -> Tensor:
    """Whether bool masks have a true pixel along `dim`."""
    return masks.view(torch.uint8).amax(dim) > 0  # `any` takes five times as long on a CPU


def tight_boxes(masks: Tensor) -> Tensor:
    """(R,H,W) bool masks with a pixel each → (R,4) float32 boxes."""
    sides = []
    for dim in (1, 2):  # (R,W) for x, (R,H) for y
        pixels_along = occupied(masks, dim).to(torch.uint8)
        first = pixels_along.argmax(dim=1)  # argmax is the first of equals
        last = pixels_along.shape[1] - pixels_along.flip(1).argmax(dim=1)
        sides.append((first, last))
    (x0, x1), (y0, y1) = sides
    return torch.stack([x0, y0, x1, y1], dim=1).float()


def masked_crops(pixels: Tensor, masks: Tensor, size: int) -> Tensor:
    """(3,H,W) normalised pixels, (R,H,W) bool masks with a pixel each → (R,3,S,S) float32 crops.

    0 outside the mask, the tight box squashed to a square: averaged over the pixels that fall into
    one pixel of the crop when it shrinks (anti-aliased), bilinear when it grows. Image and mask are
    cut apart and multiplied as crops, so that no masked image exists at full size; the order only
    matters on the mask's edge (measured: cosine between the embeddings 0.9997, at least 0.998).
    """
    boxes = tight_boxes(masks)
    index = torch.arange(len(masks), device=masks.device, dtype=torch.float32)[:, None]
    # sampling_ratio 0: as many samples per output pixel as there are input pixels in it
    inside = roi_align(
        masks[:, None].float(), torch.cat([index, boxes], 1), size, sampling_ratio=0, aligned=True
    )
    crops = roi_align(
        pixels[None], torch.cat([index * 0, boxes], 1), size, sampling_ratio=0, aligned=True
    )
    return crops * inside
