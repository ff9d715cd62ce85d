"""Crop mode without any of this project's savings: what the speed benchmark compares with.

Rebuilt from the description of ZS-MaskFormer, not from its code. Known from the method and from
what was reported of the published program: proposals of a MaskFormer head, masks cut at 0.5, tight
boxes, the pixel mean outside the mask, CLIP's input size, the geometric ensemble, a loop over the
proposals, that CLIP takes 50 of its 52 s, and a peak memory of 3.6 GB. Assumed: the loop cuts the
proposals, all are resized bicubically and go through CLIP together; the texts are encoded for every
image; masks and class scores are full-size floats. The reported memory speaks for "together": this
program peaks at 3.0 GB, and at 2.1 GB where each crop goes through CLIP alone (2026-11-23).

Letters: N proposals, K classes, H×W image, S side of a crop, E width of the text space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn
from torch.nn import functional as F

from zsk.batched_inputs import Record, padded_images
from zsk.classification.encoder import VisionLanguageEncoder
from zsk.classification.prompts import build_prompts
from zsk.classification.region_encoder import RegionScores
from zsk.errors import UserError
from zsk.regions import combine, head_probabilities
from zsk.vocabulary import Vocabulary
from zsk.zsk_net import ZSKNet


class LoopClassifier:
    """Cuts the proposals one after the other, and encodes them together.

    Args:
        encoder: the frozen image side.
        logit_threshold: where the mask logits are cut.
    """

    def __init__(self, encoder: VisionLanguageEncoder, logit_threshold: float) -> None:
        self.encoder = encoder
        self.logit_threshold = logit_threshold

    def classify(self, image: Tensor, masks: Tensor, text: Tensor) -> RegionScores:
        """(3,H,W) RGB in 0–255, mask logits (N,H,W), text (K,E) → scores of all N proposals."""
        mean = torch.tensor(self.encoder.pixel_mean, device=image.device).view(3, 1, 1)
        std = torch.tensor(self.encoder.pixel_std, device=image.device).view(3, 1, 1)
        pixels = (image.float() - mean) / std
        size = self.encoder.input_size
        valid = torch.zeros(len(masks), dtype=torch.bool, device=image.device)
        crops = [pixels.new_zeros(0, 3, size, size)]
        for number, logits in enumerate(masks):
            mask = logits > self.logit_threshold
            if mask.any():
                crops.append(masked_crop(pixels, mask, size))
                valid[number] = True
        probs = text.new_zeros(len(masks), len(text))
        features = self.encoder.encode_image(torch.cat(crops))
        scores = self.encoder.logit_scale * features @ text.T
        probs[valid] = scores.softmax(dim=1).to(probs.dtype)
        return RegionScores(probs, valid)


class PublishedInference(nn.Module):
    """The whole way from a photo to labels, one photo at a time. Called as ZSKNet is."""

    def __init__(
        self,
        *,
        backbone: Backbone,
        sem_seg_head: nn.Module,
        region_classifier: LoopClassifier,
        templates: Sequence[str],
        ensemble_lambda: float,
        seen_penalty: float,
        pixel_mean: Tensor,
        pixel_std: Tensor,
    ) -> None:
        """`pixel_mean`, `pixel_std`: (3,1,1), of the backbone."""
        super().__init__()
        self.backbone = backbone
        self.sem_seg_head = sem_seg_head
        self.region_classifier = region_classifier
        self.text_classifier = EveryTimeText(region_classifier.encoder, templates)
        self.ensemble_lambda = ensemble_lambda
        self.seen_penalty = seen_penalty
        self.pixel_mean = pixel_mean
        self.pixel_std = pixel_std

    @classmethod
    def of(cls, model: ZSKNet) -> PublishedInference:
        """The parts and numbers of a model; its region classifier gives encoder and threshold.

        Raises:
            UserError: the model has learned prompts, several thresholds or competing masks.
        """
        if model.text_classifier.learned:
            raise UserError(
                "MODEL.CLIP.PROMPT is learned, which the reference has not: give a configuration "
                "with templates"
            )
        regions = model.region_classifier
        if len(regions.logit_thresholds) > 1 or model.mask_votes.compete:
            raise UserError(
                "MODEL.CLIP.FURTHER_THRESHOLDS and MODEL.ENSEMBLE.MASK_SOFTMAX are nothing that "
                "the reference has: leave them as they are by default"
            )
        return cls(
            backbone=model.backbone,
            sem_seg_head=model.sem_seg_head,
            region_classifier=LoopClassifier(regions.encoder, regions.logit_thresholds[0]),
            templates=model.text_classifier.templates,
            ensemble_lambda=model.ensemble_lambda,
            seen_penalty=model.seen_penalty,
            pixel_mean=model.pixel_mean,
            pixel_std=model.pixel_std,
        )

    @torch.no_grad()
    def forward(self, batched_inputs: Sequence[Record]) -> list[dict[str, Tensor]]:
        """Per record {"pred_labels": (height,width) int64}."""
        return [self.label(record) for record in batched_inputs]

    def label(self, record: Record) -> dict[str, Tensor]:
        """One photo."""
        device, size = self.pixel_mean.device, (record["height"], record["width"])
        image, vocabulary = record["image"].to(device), record["vocabulary"]
        images = padded_images([record], self.pixel_mean, self.pixel_std)
        text = self.text_classifier(vocabulary)
        logits, masks = self.sem_seg_head(self.backbone(images.tensor), text)[-1]
        masks = _enlarged(masks[0].float(), image.shape[-2:])
        seen = vocabulary.seen_mask.to(device)
        head = head_probabilities(logits[0].float(), seen, self.seen_penalty)
        regions = self.region_classifier.classify(image, masks, text)
        probs = combine("ensemble", head, regions.probs, regions.valid, seen, self.ensemble_lambda)
        scores = torch.einsum("nk,nhw->khw", probs, _enlarged(masks, size).sigmoid())
        return {"pred_labels": scores.argmax(dim=0)}


class EveryTimeText(nn.Module):
    """Encodes a vocabulary's prompts whenever it is asked."""

    def __init__(self, encoder: VisionLanguageEncoder, templates: Sequence[str]) -> None:
        super().__init__()
        self.templates = templates
        # a list: the encoder belongs to the region classifier, this is no second home
        self._encoder = [encoder]

    def forward(self, vocabulary: Vocabulary) -> Tensor:
        """(K,E) float32 unit rows."""
        names = vocabulary.prompt_names
        prompts = [prompt for name in names for prompt in build_prompts(name, self.templates)]
        rows = self._encoder[0].encode_text(prompts)
        return F.normalize(rows.view(len(names), len(self.templates), -1).mean(dim=1), dim=1)


def masked_crop(pixels: Tensor, mask: Tensor, size: int) -> Tensor:
    """(3,H,W) normalised pixels, (H,W) bool mask with a pixel → (1,3,S,S), 0 outside the mask."""
    rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
    inside: Any = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    crop = (pixels * mask)[(slice(None), *inside)]
    return F.interpolate(crop[None], size=(size, size), mode="bicubic", align_corners=False)


def _enlarged(masks: Tensor, size: Sequence[int]) -> Tensor:
    """(N,h,w) logits → (N,H,W)."""
    return F.interpolate(masks[None], size=tuple(size), mode="bilinear", align_corners=False)[0]
