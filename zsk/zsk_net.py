"""ZSK-Net: look at a photo, name the regions, label the pixels; in training, losses.

Shape letters: B images, H x W image, N proposals, K classes, E embedding width, h x w masks.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, SEM_SEG_HEADS_REGISTRY
from detectron2.modeling.backbone import Backbone
from torch import Tensor

from zsk.answer import MaskAnswer
from zsk.backbones.build import build_backbone
from zsk.backbones.clip_backbone import ClipBackbone
from zsk.classification.build import encoder_of
from zsk.classification.photo_size import warn_of_other_size
from zsk.classification.region_encoder import RegionEncoder, build_region_encoder
from zsk.classification.sight import Sight
from zsk.classification.text_classifier import TextClassifier, build_text_classifier
from zsk.data.targets import Segments, segments_from_sem_seg, with_unnamed
from zsk.errors import UserError
from zsk.label_map import View, finite
from zsk.looks.batched_inputs import (
    PhotoModel,
    Record,
    groups_of_one_size,
    padded_images,
    padded_labels,
)
from zsk.looks.true_scale import feature_strides, photo_box, resize_rows, whole_cells
from zsk.proposals.criterion import SetCriterion
from zsk.proposals.outputs import ProposalHead, Proposals, ScoredProposals
from zsk.regions import Ensemble, Regions, RegionScores, name_regions
from zsk.vocabulary import Vocabulary, ignore_label


@META_ARCH_REGISTRY.register()
class ZSKNet(PhotoModel):
    """Dynamic kernels propose masks; CLIP and the head's text-aligned scores name them."""

    sem_seg_head: ProposalHead
    pixel_mean: Tensor
    pixel_std: Tensor

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        sem_seg_head: ProposalHead,
        criterion: SetCriterion,
        text_classifier: TextClassifier,
        region_encoder: RegionEncoder,
        region_text_classifier: TextClassifier | None = None,
        ensemble: Ensemble = Ensemble(),
        mask_softmax: float = 0.0,
        pixel_mean: list[float],
        pixel_std: list[float],
        test_dtype: str = "float32",
        size_divisibility: int = 0,
        votes_at: str = "result",
    ):
        """
        Args:
            region_text_classifier: prompts for the regions; None takes `text_classifier`.
            mask_softmax: see `label_map`.
            pixel_mean, pixel_std: RGB, 0-255, of the backbone; CLIP has its own.
            test_dtype: precision of backbone and head in evaluation (MODEL.TEST_DTYPE).
            size_divisibility, votes_at: in evaluation, see TEST.SIZE_DIVISIBILITY and VOTES_AT.
        """
        super().__init__()
        self.backbone = backbone
        self.sem_seg_head = sem_seg_head
        self.criterion = criterion
        self.text_classifier = text_classifier
        self.region_encoder = region_encoder
        self.region_text_classifier = region_text_classifier
        self.ensemble = ensemble
        self.mask_softmax = mask_softmax
        self.strides = feature_strides(backbone)
        self.stride = math.lcm(*self.strides.values())
        self.size_divisibility = size_divisibility and math.lcm(size_divisibility, self.stride)
        self.votes_at = votes_at
        self.test_dtype = getattr(torch, test_dtype)
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(3, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(3, 1, 1), False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        backbone = build_backbone(cfg)
        clip, ensemble = cfg.MODEL.CLIP, cfg.MODEL.ENSEMBLE
        own = isinstance(backbone, ClipBackbone)
        encoder = backbone.encoder if own else encoder_of(clip)
        if ensemble.MODE != "head" and not encoder.takes_images:
            raise UserError(
                f"MODEL.CLIP.NAME {clip.NAME} has texts only, but MODEL.ENSEMBLE.MODE "
                f"{ensemble.MODE} looks at images: choose the mode head, or a CLIP"
            )
        warn_of_other_size(cfg, encoder.input_size)
        regional = None
        if clip.REGION_PROMPT:
            regional = build_text_classifier(clip, encoder, "REGION_PROMPT")
        build_head = SEM_SEG_HEADS_REGISTRY.get(cfg.MODEL.SEM_SEG_HEAD.NAME)
        return {
            "backbone": backbone,
            "sem_seg_head": build_head(cfg, backbone.output_shape(), encoder.embed_dim),
            "criterion": SetCriterion(
                **{k.lower(): value for k, value in cfg.MODEL.CRITERION.items()}
            ),
            "text_classifier": build_text_classifier(clip, encoder),
            "region_text_classifier": regional,
            "region_encoder": build_region_encoder(
                clip.REGION_MODE,
                encoder,
                [clip.MASK_THRESHOLD, *clip.FURTHER_THRESHOLDS],
                clip.CROP_ANTIALIAS,
            ),
            "ensemble": Ensemble(
                ensemble.MODE, ensemble.LAMBDA, ensemble.SEEN_PENALTY, ensemble.EMPTY
            ),
            "mask_softmax": ensemble.MASK_SOFTMAX,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "test_dtype": cfg.MODEL.TEST_DTYPE,
            "size_divisibility": cfg.TEST.SIZE_DIVISIBILITY,
            "votes_at": cfg.TEST.VOTES_AT,
        }

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[Record]) -> dict[str, Tensor] | list[dict[str, Any]]:
        """Losses by name in training; in evaluation one result per record.

        Args:
            batched_inputs: mapped records (`zsk.data.dataset_mapper`): "image" uint8 (3,H,W) RGB
                and "vocabulary"; in training, where all have one vocabulary, "sem_seg" int64 (H,W)
                with ids into it and `ignore_label` for others, and "unnamed" (H,W) in all records
                or in none; in evaluation "height" and "width" of the result, and "cells" or not.
        Returns:
            in evaluation "pred_labels" (and "pred_cells") as `PhotoModel.result`, and
            "pred_masks" float (N,h,w), the mask logits of the last stage over the padded image, and
            "photo_box", the image on them: a `Box`, or None where they cover it alone.
        """
        if not self.training:
            return super().forward(batched_inputs)
        text = self.text_classifier(batched_inputs[0]["vocabulary"])
        proposals, _ = self.propose([record["image"] for record in batched_inputs])
        scored = [
            ScoredProposals(self.sem_seg_head.class_logits(embeddings, text, stage), masks)
            for stage, (embeddings, masks) in enumerate(proposals)
        ]
        names = [record.get("file_name", "?") for record in batched_inputs]
        return self.criterion(scored, self.segments(batched_inputs), names)

    def propose(self, images: Sequence[Tensor]) -> tuple[list[Proposals], Sight]:
        """Normalise, encode, propose: B images (3,H,W), padded to one size -> S+1 stages."""
        divisibility = 0 if self.training else self.size_divisibility
        pixels = padded_images(images, self.pixel_mean, self.pixel_std, divisibility)
        sight = self.see(pixels)
        levels = whole_cells(sight.levels, self.strides, pixels.shape[-2:])
        return self.sem_seg_head(levels), sight

    def see(self, pixels: Tensor) -> Sight:
        """(B,3,H,W) normalised -> features by name and, of CLIP's own tower, what names regions."""
        if isinstance(self.backbone, ClipBackbone):
            return self.backbone.see(pixels)
        return Sight(self.backbone(pixels))

    def segments(self, batched_inputs: list[Record]) -> list[Segments]:
        """The ground truth of the records on the padded images; padding is ignored."""
        labels = padded_labels(batched_inputs, self.device, self.stride)
        ignore = ignore_label(len(batched_inputs[0]["vocabulary"]))
        segments = [segments_from_sem_seg(sem_seg, ignore) for sem_seg in labels]
        if "unnamed" not in batched_inputs[0]:
            return segments
        maps = padded_labels(batched_inputs, self.device, self.stride, "unnamed")
        return [with_unnamed(*pair, ignore) for pair in zip(segments, maps)]

    def result(self, look: Regions, record: Record) -> dict[str, Any]:
        """One in evaluation, see `forward`."""
        labels = super().result(look, record)
        return {**labels, "pred_masks": look.masks, "photo_box": look.box}

    @torch.inference_mode()
    def look(self, images: Sequence[Tensor]) -> list[Regions]:
        """Images (3,H,W) uint8 RGB -> what they show, whatever the words; on `device`.

        Images of one size go through the network together. With TEST.VOTES_AT photo, masks have the
        size of their image.
        """
        found: dict[int, Regions] = {}
        dtype = self.test_dtype
        for indices in groups_of_one_size(images):
            with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
                proposals, sight = self.propose([images[i] for i in indices])
            for row, (i, embeddings, masks) in enumerate(zip(indices, *proposals[-1])):
                stride = self.size_divisibility or self.stride
                box = photo_box(images[i].shape[-2:], stride, masks.shape[-2:])
                masks = finite(masks.float())
                if self.votes_at == "photo":
                    masks, box = resize_rows(masks, box, images[i].shape[-2:]), None
                regions = Regions(masks, embeddings.float(), box=box)
                if self.ensemble.mode != "head":
                    image = images[i].to(self.device)
                    seen = sight.photo(row)
                    clip, valid = self.region_encoder(image, regions.masks, box, seen)
                    regions = regions._replace(clip_embeddings=clip, valid=valid)
                found[i] = regions
        return [found[i] for i in range(len(images))]

    @torch.inference_mode()
    def name(
        self, regions: Regions, vocabulary: Vocabulary, lam: float | None = None
    ) -> RegionScores:
        """Class scores of the regions, see `name_regions`; `lam` replaces λ of the ensemble."""
        words = vocabulary.one_class_per_word()
        regional = self.region_text_classifier
        named = name_regions(
            regions,
            self.text_classifier(words),
            words.seen_mask.to(self.device),
            class_logits=self.sem_seg_head.class_logits,
            clip_temperature=self.region_encoder.encoder.logit_scale,
            ensemble=self.ensemble if lam is None else replace(self.ensemble, lam=lam),
            region_text=None if regional is None else regional(words),
        )
        return RegionScores._make(
            (None if scores is None else vocabulary.add_aliases(scores) for scores in named)
        )

    def answer(
        self,
        look: Regions | Sequence[Regions],
        vocabulary: Vocabulary,
        size: tuple[int, int],
        lam: float | None = None,
    ) -> MaskAnswer:
        """Name the regions of a look, or of several looks at one photo.

        Args:
            size: (H,W) of the label map.
            lam: as for `name`.
        """
        views = []
        for regions in [look] if isinstance(look, Regions) else look:
            named = self.name(regions, vocabulary, lam)
            views.append(View(named.scores, regions.masks, regions.box, named.head, named.clip))
        return MaskAnswer(views, size, self.mask_softmax, self.votes_at != "result")
