"""Names mask proposals by encoding what each of them shows (method, section 3).

Letters: N proposals, h×w mask size, H×W image, R crops, K classes, E width of the text space.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zsk.errors import UserError

from .compiled import padded
from .encoder import VisionLanguageEncoder
from .looks import merge_looks
from .region_crops import Cutter, crops_at_once, cutter
from .region_queue import Pruning, RegionQueue, RegionRequest


class RegionScores(NamedTuple):
    """probs (N,K) float32, rows sum to 1 or, where invalid, are 0; valid (N,) bool."""

    probs: Tensor
    valid: Tensor


class RegionClassifier(nn.Module):
    """Crops each proposal, hides what lies outside its mask, and compares it with the class names.

    Args:
        encoder: the frozen image side.
        mask_thresholds: one or more in (0,1), where the masks' sigmoid is cut; several are looks
            whose answers are merged, see looks.py.
        chunk_size: ≥ 0, crops encoded at once, of one image or of several. Bounds the memory,
            changes no result. 0: by device. See `crops_at_once`.
        pruning: what `classify` may leave out.

    Leaving the surroundings in, dimmed or whole, and larger boxes were measured and are worse: see
    embedded_encoder.py. Raises UserError for a number outside its range.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        encoder: VisionLanguageEncoder,
        mask_thresholds: Sequence[float] = (0.5,),
        chunk_size: int = 0,
        pruning: Pruning = Pruning(),
    ) -> None:
        super().__init__()
        self.logit_thresholds = tuple(map(logit_threshold, dict.fromkeys(mask_thresholds)))
        crops_at_once(encoder, chunk_size)
        self.encoder = encoder
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
        chunk_size = crops_at_once(self.encoder, self.chunk_size)
        queues = [
            RegionQueue(request, min(self.logit_thresholds), chunk_size, self.pruning)
            for request in requests
        ]
        with torch.autocast(self.pixel_mean.device.type, enabled=False):
            cutters = [self._cutters(request) for request in requests]
            while rounds := [
                (q, c, i) for q, c in zip(queues, cutters) if len(i := q.next_round())
            ]:
                self._classify_rounds(rounds, chunk_size)
        return [RegionScores(queue.probs, queue.valid) for queue in queues]

    def _classify_rounds(
        self, rounds: Sequence[tuple[RegionQueue, list[Cutter], Tensor]], chunk_size: int
    ) -> None:
        crops, shown = zip(*(c.cut(indices) for _, looks, indices in rounds for c in looks))
        chunks = torch.cat(crops).split(chunk_size)
        features = torch.cat([self._encode(chunk, chunk_size) for chunk in chunks])
        parts = zip(features.split([len(c) for c in crops]), shown)
        for queue, looks, indices in rounds:
            found = list(islice(parts, len(looks)))
            queue.take(indices, *self._named(found, queue.request.text))

    def _encode(self, crops: Tensor, chunk_size: int) -> Tensor:
        if not self.encoder.compiled_images:
            return self.encoder.encode_image(crops)
        return self.encoder.encode_image(padded(crops, chunk_size))[: len(crops)]

    def _named(self, looks: Sequence[tuple[Tensor, Tensor]], text: Tensor) -> tuple[Tensor, Tensor]:
        """(features (C,E), which C of N proposals they show (N,) bool) of each look, text (K,E) →
        probabilities (N,K), and which proposals were shown at all (N,)."""
        shown = torch.stack([seen for _, seen in looks])
        logits = looks[0][0].new_zeros(*shown.shape, len(text))
        for scores, (features, seen) in zip(logits, looks):
            scores[seen] = self.encoder.logit_scale * features @ text.float().T
        return merge_looks(logits, shown), shown.any(dim=0)

    def _cutters(self, request: RegionRequest) -> list[Cutter]:
        # Before the crops: the pixels that are then set to 0 get the pixel mean.
        pixels = (request.image.float() - self.pixel_mean) / self.pixel_std
        size = self.encoder.input_size
        return [cutter(pixels, request.mask_logits, t, size) for t in self.logit_thresholds]


class OnePassClassifier(RegionClassifier):
    """Names all proposals from one look at the whole photo: features pooled under each mask.

    Called as RegionClassifier is. One forward pass instead of one per proposal; `chunk_size` and
    `pruning` have no part in it.
    """

    @torch.no_grad()
    def forward(self, image: Tensor, mask_logits: Tensor, text: Tensor) -> RegionScores:
        pixels = (image.float() - self.pixel_mean) / self.pixel_std
        with torch.autocast(pixels.device.type, enabled=False):
            masks = torch.stack([mask_logits > t for t in self.logit_thresholds])  # (L,N,h,w)
            shown = masks.flatten(2).any(dim=2)
            features = self.encoder.encode_regions(pixels, masks[shown].float())
            parts = features.split(shown.sum(dim=1).tolist())
            return RegionScores(*self._named(list(zip(parts, shown)), text))

    def classify(self, requests: Sequence[RegionRequest]) -> list[RegionScores]:
        return [self(request.image, request.mask_logits, request.text) for request in requests]


def logit_threshold(mask_threshold: float) -> float:
    """Where logits are cut whose sigmoid is cut there. Raises UserError outside (0,1)."""
    if not (isinstance(mask_threshold, (int, float)) and 0 < mask_threshold < 1):
        raise UserError(
            "MODEL.CLIP.MASK_THRESHOLD and all of FURTHER_THRESHOLDS have to be between 0 and 1, "
            f"but one is {mask_threshold!r}"
        )
    return math.log(mask_threshold / (1 - mask_threshold))


REGION_MODES = {"crop": RegionClassifier, "one_pass": OnePassClassifier}


def build_region_classifier(
    mode: str,
    encoder: VisionLanguageEncoder,
    mask_thresholds: Sequence[float],
    chunk_size: int,
    pruning: Pruning = Pruning(),
) -> RegionClassifier:
    """The classifier that MODEL.CLIP.REGION_MODE names.

    Raises:
        UserError: there is no such mode, the encoder does not take it, or what encodes crops was
            to be compiled and there are none.
    """
    if mode not in REGION_MODES:
        known = ", ".join(REGION_MODES)
        raise UserError(f"MODEL.CLIP.REGION_MODE is {mode!r}: choose one of {known}")
    if mode == "one_pass" and not encoder.takes_regions:
        raise UserError(
            "MODEL.CLIP.REGION_MODE is one_pass, but this encoder takes only crops: use crop"
        )
    if mode == "one_pass" and encoder.compiled_images:
        raise UserError(
            "MODEL.CLIP.COMPILE is True, which is for crops, but MODEL.CLIP.REGION_MODE is "
            "one_pass: set COMPILE to False or REGION_MODE to crop"
        )
    return REGION_MODES[mode](encoder, mask_thresholds, chunk_size, pruning)
