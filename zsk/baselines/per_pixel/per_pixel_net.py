"""PerPixelNet: look at a photo, name its places, label the pixels; in training, the loss.

The systems without mask proposals that ZSK-Net is compared with, by MODEL.ENSEMBLE.MODE:
    clip      dense features of the vision-language model, in a sliding window; nothing is trained
    head      an FCN that was trained on seen classes with text embeddings as classifier weights
    ensemble  their geometric ensemble per pixel, with the exponents of section 4

Shape letters: B images, H x W image, h x w feature map, K classes, E text embedding width.
"""

import contextlib
import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.modeling.backbone import Backbone
from torch import Tensor

from zsk.answer import PixelAnswer
from zsk.classification.build import encoder_of
from zsk.classification.text_classifier import TextClassifier, build_text_classifier
from zsk.looks.batched_inputs import (
    PhotoModel,
    Record,
    groups_of_one_size,
    padded_images,
    padded_labels,
)
from zsk.looks.true_scale import Box, feature_strides, photo_box, resize_rows, whole_cells
from zsk.proposals.masks import resize_masks
from zsk.regions import Ensemble, geometric_ensemble
from zsk.vocabulary import Vocabulary

from .build_per_pixel import build_fcn, check_options
from .calibration import calibrated_logits, calibrated_scores
from .dense_clip import DenseClip, Windows
from .pixel_head import PixelHead, no_gradient

TENSORS_AT_ONCE = 8  # of K values per pixel, that the ensemble of a strip makes


class HeadMap(NamedTuple):
    """What the head makes of a photo at one scale."""

    embeddings: Tensor  # (E,h,w) float32
    box: Box | None  # the photo on them; None where they cover it and nothing else


class Places(NamedTuple):
    """What one look at a photo leaves; nothing in it depends on the class names."""

    head: list[HeadMap]  # one per scale, none without a head
    clip: Windows | None


@META_ARCH_REGISTRY.register()
class PerPixelNet(PhotoModel):
    """Names every pixel by itself: by the text-aligned scores of an FCN, by CLIP, or by both."""

    pixel_mean: Tensor
    pixel_std: Tensor

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone | None,
        sem_seg_head: PixelHead | None,
        dense_clip: DenseClip | None,
        text_classifier: TextClassifier,
        ensemble: Ensemble = Ensemble(),
        scales: Sequence[float] = (1.0,),
        pixel_mean: list[float],
        pixel_std: list[float],
    ):
        """
        Args:
            backbone, sem_seg_head: None in mode clip.
            dense_clip: None in mode head.
            scales: multiples of 1/4 up to 1, see MODEL.PER_PIXEL.SCALES.
            pixel_mean, pixel_std: RGB, 0-255, of the backbone; CLIP has its own.
        """
        super().__init__()
        self.backbone = backbone
        self.sem_seg_head = sem_seg_head
        self.dense_clip = dense_clip
        self.text_classifier = text_classifier
        self.ensemble = ensemble
        self.strides = {} if backbone is None else feature_strides(backbone)
        self.stride = math.lcm(*self.strides.values())
        self.scales = tuple(scales)
        # training images are padded to multiples of it, where cells and labels agree at each scale
        self.divisibility = 0 if self.scales == (1.0,) else 4 * self.stride
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(3, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(3, 1, 1), False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        check_options(cfg)
        settings, clip = cfg.MODEL.ENSEMBLE, cfg.MODEL.CLIP
        ensemble = Ensemble(
            settings.MODE,
            settings.LAMBDA,
            settings.SEEN_PENALTY,
            penalty_on=settings.SEEN_PENALTY_ON,
        )
        encoder = encoder_of(clip)
        text_classifier = build_text_classifier(clip, encoder)
        backbone = head = dense_clip = None
        if ensemble.mode != "clip":
            backbone, head = build_fcn(cfg, encoder.embed_dim, text_classifier)
        if ensemble.mode != "head":
            dense_clip = DenseClip(encoder, cfg.MODEL.PER_PIXEL.ATTENTION)
        return {
            "backbone": backbone,
            "sem_seg_head": head,
            "dense_clip": dense_clip,
            "text_classifier": text_classifier,
            "ensemble": ensemble,
            "scales": cfg.MODEL.PER_PIXEL.SCALES,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
        }

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[Record]) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Losses by name in training; in evaluation one `result` per record.

        Args:
            batched_inputs: as those of ZSKNet; in training, instead of "unnamed", "label_weights"
                float32 (H,W) in all records or in none (`zsk.engine.self_training`).
        """
        if not self.training:
            return super().forward(batched_inputs)
        if self.sem_seg_head is None:
            raise ValueError("mode clip has nothing to train: call it in evaluation mode")
        text = self.text_classifier(batched_inputs[0]["vocabulary"])
        images = [record["image"] for record in batched_inputs]
        stride = self.divisibility or self.stride
        labels, weights = padded_labels(batched_inputs, self.device, stride), None
        if "label_weights" in batched_inputs[0]:
            weights = padded_labels(batched_inputs, self.device, stride, "label_weights")
        assert self.backbone is not None
        learns = self.sem_seg_head.learns_features(text)
        if not learns:
            self.backbone.eval()  # statistics of norms stay, too
        with contextlib.nullcontext() if learns else torch.no_grad():
            features = [self.encode(images, scale, self.divisibility) for scale in self.scales]
        losses = self.sem_seg_head.losses(features, text, labels, weights)
        if not learns:
            name = next(iter(losses))
            losses[name] = losses[name] + no_gradient(self.backbone.parameters())
        return losses

    def encode(
        self, images: Sequence[Tensor], scale: float = 1.0, divisibility: int = 0
    ) -> dict[str, Tensor]:
        """Normalise, resize, encode B images (3,H,W), padded to one size: (B,C,h,w) by name."""
        assert self.backbone is not None
        pixels = padded_images(images, self.pixel_mean, self.pixel_std, divisibility)
        pixels = resize_masks(pixels, scaled(pixels.shape[-2:], scale))
        return whole_cells(self.backbone(pixels), self.strides, pixels.shape[-2:])

    @torch.inference_mode()
    def look(self, images: Sequence[Tensor]) -> list[Places]:
        """Images (3,H,W) uint8 RGB -> what they show, whatever the words; on `device`."""
        heads: list[list[HeadMap]] = [[] for _ in images]
        for scale in () if self.sem_seg_head is None else self.scales:
            assert self.sem_seg_head is not None
            for indices in groups_of_one_size(images):
                size = scaled(images[indices[0]].shape[-2:], scale)
                embedded = self.sem_seg_head(self.encode([images[i] for i in indices], scale))
                box = photo_box(size, self.stride, embedded.shape[-2:])
                for i, embeddings in zip(indices, embedded):
                    heads[i].append(HeadMap(embeddings, box))
        windows = [
            None if self.dense_clip is None else self.dense_clip(image.to(self.device))
            for image in images
        ]
        return [Places(*place) for place in zip(heads, windows)]

    @torch.inference_mode()
    def answer(
        self,
        look: Places,
        vocabulary: Vocabulary,
        size: tuple[int, int],
        lam: float | None = None,
    ) -> PixelAnswer:
        """Name every place; `size` (H,W) of the label map, `lam` replaces λ of the ensemble."""
        words = vocabulary.one_class_per_word()
        text = self.text_classifier(words)
        seen = words.seen_mask.to(self.device)
        ensemble, windows, maps = self.ensemble, None, []
        for embeddings, box in look.head:
            assert self.sem_seg_head is not None
            maps.append((self.sem_seg_head.class_logits(embeddings, text), box))
        if look.clip is not None:
            assert self.dense_clip is not None
            windows = look.clip.probabilities(text, self.dense_clip.encoder.logit_scale)
        lam = ensemble.lam if lam is None else lam

        def probabilities(top: int, bottom: int) -> Tensor:
            opinions = []
            if maps:
                rows = [resize_rows(*one, size, top, bottom) for one in maps]
                logits = calibrated_logits(functools.reduce(torch.maximum, rows), seen, ensemble)
                opinions.append(logits.softmax(dim=0))
            if windows is not None:
                opinions.append(windows.rows(size, top, bottom))
            scores = opinions[0]
            if len(opinions) == 2:
                head, clip = (one.movedim(0, -1) for one in opinions)
                everywhere = seen.new_ones(())
                scores = geometric_ensemble(head, clip, everywhere, seen, lam).movedim(-1, 0)
            scores = vocabulary.add_aliases(scores, dim=0)
            return calibrated_scores(scores, vocabulary.seen_mask, ensemble)

        return PixelAnswer(probabilities, size, TENSORS_AT_ONCE * len(text))


def scaled(size: Sequence[int], scale: float) -> tuple[int, int]:
    """(H,W) times the scale, a pixel or more."""
    return max(1, int(size[0] * scale)), max(1, int(size[1] * scale))
