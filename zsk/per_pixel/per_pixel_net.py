"""PerPixelNet: normalise, encode, score each pixel, then the loss or the labels.

The systems without mask proposals that ZSK-Net is compared with, by MODEL.ENSEMBLE.MODE:
    clip      the vision-language model's dense features, in a sliding window; nothing is trained
    head      an FCN that was trained on seen classes with text embeddings as classifier weights
    ensemble  their geometric ensemble, with section 4's exponents, per pixel

Shape letters: B images, H x W image, h x w feature map, K classes, E text embedding width.
"""

from collections.abc import Iterable
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, SEM_SEG_HEADS_REGISTRY, build_backbone
from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn

from zsk.batched_inputs import (
    Record,
    groups_of_one_kind,
    laid_out,
    padded_images,
    padded_labels,
    shared_vocabulary,
)
from zsk.classification.build import build_encoder
from zsk.classification.ensemble import EnsembleMode, check_ensemble, geometric_ensemble
from zsk.classification.learned_prompts import load_prompts
from zsk.classification.text_cache import TextCache
from zsk.classification.text_classifier import TextClassifier
from zsk.errors import UserError
from zsk.semantic_inference import labels_by_strips, resize_rows

from .dense_clip import DenseClip, build_dense_clip
from .text_fcn_head import TextFCNHead

TENSORS_AT_ONCE = 8  # of a strip's K scores per pixel, in the ensemble: two powers and a product


@META_ARCH_REGISTRY.register()
class PerPixelNet(nn.Module):
    """Every pixel is named by itself: by an FCN's text-aligned scores, by CLIP, or by both."""

    pixel_mean: Tensor
    pixel_std: Tensor

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone | None,
        sem_seg_head: TextFCNHead | None,
        dense_clip: DenseClip | None,
        text_classifier: TextClassifier,
        ensemble_mode: EnsembleMode,
        ensemble_lambda: float,
        seen_penalty: float = 0.0,
        pixel_mean: list[float],
        pixel_std: list[float],
    ):
        """
        Args:
            backbone, sem_seg_head: None in mode clip.
            dense_clip: None in mode head.
            seen_penalty: taken off the head's logits of seen classes (calibrated stacking).
            pixel_mean, pixel_std: RGB, 0-255, of the backbone (CLIP brings its own).
        """
        super().__init__()
        check_ensemble(ensemble_mode, ensemble_lambda, seen_penalty)
        self.backbone = backbone
        self.sem_seg_head = sem_seg_head
        self.dense_clip = dense_clip
        self.text_classifier = text_classifier
        self.ensemble_lambda = ensemble_lambda
        self.seen_penalty = seen_penalty
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(3, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(3, 1, 1), False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        _check_options(cfg)
        mode = cfg.MODEL.ENSEMBLE.MODE
        clip = cfg.MODEL.CLIP
        encoder = build_encoder(clip.NAME, temperature=clip.TEMPERATURE)
        backbone, head = (None, None) if mode == "clip" else _build_fcn(cfg, encoder.embed_dim)
        window = cfg.MODEL.PER_PIXEL.WINDOW
        return {
            "backbone": backbone,
            "sem_seg_head": head,
            "dense_clip": None if mode == "head" else build_dense_clip(encoder, window),
            "text_classifier": TextClassifier(
                encoder,
                load_prompts(clip.PROMPT, clip.PROMPT_WEIGHTS, encoder),
                TextCache() if clip.TEXT_CACHE else None,
            ),
            "ensemble_mode": mode,
            "ensemble_lambda": cfg.MODEL.ENSEMBLE.LAMBDA,
            "seen_penalty": cfg.MODEL.ENSEMBLE.SEEN_PENALTY,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
        }

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[Record]) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Losses by name in training; in evaluation one result per record.

        Args:
            batched_inputs: mapped records (`zsk.data.dataset_mapper`): "image" uint8 (3,H,W) RGB
                and "vocabulary"; in training "sem_seg" int64 (H,W) with ids into that vocabulary
                and 255 for ignored pixels; in evaluation "height" and "width" of the result.
        Returns:
            in evaluation "pred_labels" int64 (height,width), ids into the record's vocabulary.
        """
        if not self.training:
            return self.inference(batched_inputs)
        if self.sem_seg_head is None:
            raise ValueError("mode clip has nothing to train: call it in evaluation mode")
        text = self.text_classifier(shared_vocabulary(batched_inputs))
        logits = self.head_logits(batched_inputs, text)
        return self.sem_seg_head.losses(logits, padded_labels(batched_inputs, self.device))

    def head_logits(self, batched_inputs: list[Record], text: Tensor) -> Tensor:
        """Normalise, encode, score: (B,K,h,w) of the padded images."""
        assert self.backbone is not None and self.sem_seg_head is not None
        images = padded_images(batched_inputs, self.pixel_mean, self.pixel_std)
        return self.sem_seg_head(self.backbone(laid_out(images.tensor, self.training)), text)

    def inference(self, batched_inputs: list[Record]) -> list[dict[str, Tensor]]:
        """Score and label."""
        results: dict[int, dict[str, Tensor]] = {}
        for indices in groups_of_one_kind(batched_inputs):
            records = [batched_inputs[i] for i in indices]
            text = self.text_classifier(shared_vocabulary(records))
            logits: Iterable[Tensor | None] = [None] * len(records)
            if self.sem_seg_head is not None:
                logits = self.head_logits(records, text)
            for i, record, image_logits in zip(indices, records, logits):
                results[i] = {"pred_labels": self.label(record, image_logits, text)}
        return [results[i] for i in range(len(batched_inputs))]

    def label(self, record: Record, logits: Tensor | None, text: Tensor) -> Tensor:
        """One image: head logits (K,h,w), None in mode clip, text (K,E) -> (height,width) int64."""
        size = (record["height"], record["width"])
        seen = record["vocabulary"].seen_mask.to(self.device)
        windows = None
        if self.dense_clip is not None:
            windows = self.dense_clip(record["image"].to(self.device), text)

        def probabilities(top: int, bottom: int) -> Tensor:
            clip = None if windows is None else windows.rows(size, top, bottom)
            if logits is None:
                assert clip is not None
                return clip
            strip = resize_rows(logits, *size, top, bottom)
            head = (strip - self.seen_penalty * seen[:, None, None]).softmax(dim=0)
            if clip is None:
                return head
            return ensemble_of_pixels(head, clip, seen, self.ensemble_lambda)

        return labels_by_strips(probabilities, size, TENSORS_AT_ONCE * len(text))


def ensemble_of_pixels(head: Tensor, clip: Tensor, seen_mask: Tensor, lam: float) -> Tensor:
    """`geometric_ensemble` with pixels for proposals: (K,H,W) twice, seen (K,) -> (K,H,W)."""
    head_rows, clip_rows = head.flatten(1).T, clip.flatten(1).T
    everywhere = torch.ones(len(head_rows), dtype=torch.bool, device=head.device)
    scores = geometric_ensemble(head_rows, clip_rows, everywhere, seen_mask, lam)
    return scores.T.unflatten(1, head.shape[1:])


def _build_fcn(cfg: CfgNode, embed_dim: int) -> tuple[Backbone, TextFCNHead]:
    backbone = build_backbone(cfg)
    name = cfg.MODEL.SEM_SEG_HEAD.NAME
    head = SEM_SEG_HEADS_REGISTRY.get(name)(cfg, backbone.output_shape(), embed_dim)
    if not isinstance(head, TextFCNHead):
        raise UserError(
            f"MODEL.SEM_SEG_HEAD.NAME is {name}, but MODEL.META_ARCHITECTURE PerPixelNet takes "
            "TextFCNHead only"
        )
    return backbone, head


def _check_options(cfg: CfgNode) -> None:
    """Raises UserError for what this model cannot do: now, not at the first evaluation."""
    if cfg.MODEL.TEST_DTYPE != "float32":
        raise UserError(
            f"MODEL.TEST_DTYPE is {cfg.MODEL.TEST_DTYPE!r}, but MODEL.META_ARCHITECTURE "
            "PerPixelNet computes in float32 only: take it out"
        )
    for key, wanted in (
        ("TEST.PROPOSAL_RECALL", cfg.TEST.PROPOSAL_RECALL),
        ("TEST.AUG.ENABLED", cfg.TEST.AUG.ENABLED),
        ("INPUT.RECOLOR", cfg.INPUT.RECOLOR),
        ("MODEL.CLIP.FURTHER_THRESHOLDS", cfg.MODEL.CLIP.FURTHER_THRESHOLDS),
        ("MODEL.ENSEMBLE.MASK_SOFTMAX", cfg.MODEL.ENSEMBLE.MASK_SOFTMAX),
    ):
        if wanted:
            raise UserError(
                f"{key} is about mask proposals, which MODEL.META_ARCHITECTURE PerPixelNet has "
                "none of: switch it off"
            )
