"""ZSK-Net: normalise, encode, propose, classify, then losses or results.

Shape letters: B images, H x W image, N kernels, S stages, K classes, E text embedding width.
"""

from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, SEM_SEG_HEADS_REGISTRY, build_backbone
from detectron2.modeling.backbone import Backbone
from detectron2.structures import ImageList
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
from zsk.classification.ensemble import (
    EnsembleMode,
    check_ensemble,
    combine,
    head_probabilities,
)
from zsk.classification.learned_prompts import load_prompts
from zsk.classification.region_classifier import RegionClassifier, build_region_classifier
from zsk.classification.region_queue import Pruning, RegionRequest
from zsk.classification.text_cache import TextCache
from zsk.classification.text_classifier import TextClassifier
from zsk.data.targets import Segments, segments_from_sem_seg, with_unnamed
from zsk.errors import UserError
from zsk.mask_votes import MaskVotes
from zsk.proposals.criterion import SetCriterion
from zsk.proposals.matcher import HungarianMatcher
from zsk.proposals.outputs import Proposals
from zsk.semantic_inference import label_map
from zsk.vocabulary import IGNORE_LABEL

TEST_DTYPES = {t: getattr(torch, t) for t in ("float32", "bfloat16", "float16")}


@META_ARCH_REGISTRY.register()
class ZSKNet(nn.Module):
    """Dynamic kernels propose masks; CLIP and the head's text-aligned scores name them."""

    pixel_mean: Tensor
    pixel_std: Tensor

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        sem_seg_head: nn.Module,
        criterion: SetCriterion,
        text_classifier: TextClassifier,
        region_classifier: RegionClassifier,
        ensemble_mode: EnsembleMode,
        ensemble_lambda: float,
        seen_penalty: float = 0.0,
        mask_votes: MaskVotes = MaskVotes(),
        pixel_mean: list[float],
        pixel_std: list[float],
        test_dtype: str = "float32",
    ):
        """`pixel_mean`, `pixel_std`: RGB, 0-255, of the backbone (CLIP brings its own).

        `test_dtype`: a key of TEST_DTYPES; backbone and head compute in it in evaluation.
        """
        super().__init__()
        check_ensemble(ensemble_mode, ensemble_lambda, seen_penalty)
        if test_dtype not in TEST_DTYPES:
            raise UserError(
                f"MODEL.TEST_DTYPE is {test_dtype!r}: choose one of {', '.join(TEST_DTYPES)}"
            )
        self.test_dtype = TEST_DTYPES[test_dtype]
        self.backbone = backbone
        self.sem_seg_head = sem_seg_head
        self.criterion = criterion
        self.text_classifier = text_classifier
        self.region_classifier = region_classifier
        self.ensemble_mode = ensemble_mode
        self.ensemble_lambda = ensemble_lambda
        self.seen_penalty = seen_penalty
        self.mask_votes = mask_votes
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(3, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(3, 1, 1), False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        backbone = build_backbone(cfg)
        weights, clip = cfg.MODEL.CRITERION, cfg.MODEL.CLIP
        encoder = build_encoder(
            clip.NAME,
            temperature=clip.TEMPERATURE,
            one_pass_size=clip.ONE_PASS_SIZE,
            masked_layers=clip.MASKED_LAYERS,
        )
        if clip.COMPILE:
            encoder.compile_images()
        build_head = SEM_SEG_HEADS_REGISTRY.get(cfg.MODEL.SEM_SEG_HEAD.NAME)
        matcher = HungarianMatcher(weights.CLASS_WEIGHT, weights.FOCAL_WEIGHT, weights.DICE_WEIGHT)
        return {
            "backbone": backbone,
            "sem_seg_head": build_head(cfg, backbone.output_shape(), encoder.embed_dim),
            "criterion": SetCriterion(
                matcher,
                class_weight=weights.CLASS_WEIGHT,
                focal_weight=weights.FOCAL_WEIGHT,
                dice_weight=weights.DICE_WEIGHT,
                no_object_weight=weights.NO_OBJECT_WEIGHT,
                deep_supervision=weights.DEEP_SUPERVISION,
                ignore_aware=weights.IGNORE_AWARE,
                region_purity=weights.REGION_PURITY,
                num_points=weights.NUM_POINTS,
            ),
            "text_classifier": TextClassifier(
                encoder,
                load_prompts(clip.PROMPT, clip.PROMPT_WEIGHTS, encoder),
                TextCache() if clip.TEXT_CACHE else None,
            ),
            "region_classifier": build_region_classifier(
                clip.REGION_MODE,
                encoder,
                [clip.MASK_THRESHOLD, *clip.FURTHER_THRESHOLDS],
                clip.CHUNK_SIZE,
                Pruning(**{key.lower(): value for key, value in clip.PRUNE.items()}),
            ),
            "ensemble_mode": cfg.MODEL.ENSEMBLE.MODE,
            "ensemble_lambda": cfg.MODEL.ENSEMBLE.LAMBDA,
            "seen_penalty": cfg.MODEL.ENSEMBLE.SEEN_PENALTY,
            "mask_votes": MaskVotes(cfg.MODEL.ENSEMBLE.MASK_SOFTMAX),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "test_dtype": cfg.MODEL.TEST_DTYPE,
        }

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[Record]) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Losses by name in training; in evaluation one result per record.

        Args:
            batched_inputs: mapped records (`zsk.data.dataset_mapper`): "image" uint8 (3,H,W) RGB
                and "vocabulary"; in training "sem_seg" int64 (H,W) with ids into that vocabulary
                and 255 for ignored pixels, and "unnamed" (H,W) in all records or in none; in
                evaluation "height" and "width" of the result.
        Returns:
            in evaluation "pred_labels" int64 (height,width), ids into the record's vocabulary, and
            "pred_masks" float (N,h,w), the last stage's mask logits over the whole image.
        """
        if not self.training:
            return self.inference(batched_inputs)
        images, stages, _ = self.propose(batched_inputs)
        segments = self.segments(batched_inputs, images)
        names = [record.get("file_name", "?") for record in batched_inputs]
        return self.criterion(stages, segments, names)

    def propose(self, batched_inputs: list[Record]) -> tuple[ImageList, list[Proposals], Tensor]:
        """Normalise, encode, propose: padded images, S+1 stages of proposals, text (K,E)."""
        images = padded_images(batched_inputs, self.pixel_mean, self.pixel_std)
        text = self.text_classifier(shared_vocabulary(batched_inputs))
        features = self.backbone(laid_out(images.tensor, self.training))
        return images, self.sem_seg_head(features, text), text

    def segments(self, batched_inputs: list[Record], images: ImageList) -> list[Segments]:
        """The records' ground truth on the padded images; padding is ignored."""
        labels = padded_labels(batched_inputs, self.device)
        segments = [segments_from_sem_seg(sem_seg, IGNORE_LABEL) for sem_seg in labels]
        if "unnamed" not in batched_inputs[0]:
            return segments
        maps = padded_labels(batched_inputs, self.device, "unnamed")
        return [with_unnamed(*pair, IGNORE_LABEL) for pair in zip(segments, maps)]

    @torch.inference_mode()  # less than no_grad costs; Detectron2's evaluation has only that
    def inference(self, batched_inputs: list[Record]) -> list[dict[str, Tensor]]:
        """Propose, name and label."""
        return [
            {
                "pred_labels": label_map(
                    probs, masks, (record["height"], record["width"]), self.mask_votes
                ),
                "pred_masks": masks,
            }
            for record, (probs, masks) in zip(batched_inputs, self.named_proposals(batched_inputs))
        ]

    def named_proposals(
        self, batched_inputs: list[Record], prune: bool = True
    ) -> list[tuple[Tensor, Tensor]]:
        """Per record class probabilities (N,K) and mask logits (N,h,w) of the last stage.

        With `prune`, proposals that cannot change this record's labels may have zeros.

        Only records of one size and vocabulary are batched, see `groups_of_one_kind`.
        """
        found: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        for indices in groups_of_one_kind(batched_inputs):
            records = [batched_inputs[i] for i in indices]
            with torch.autocast(
                self.device.type, self.test_dtype, enabled=self.test_dtype != torch.float32
            ):
                _, stages, text = self.propose(records)
            for i, logits, masks in zip(indices, *stages[-1]):
                found[i] = logits.float(), masks.float(), text
        proposals = [found[i] for i in range(len(batched_inputs))]
        probs = self.name_proposals(batched_inputs, proposals, prune)
        return [(named, masks) for named, (_, masks, _) in zip(probs, proposals)]

    def name_proposals(
        self,
        records: list[Record],
        proposals: list[tuple[Tensor, Tensor, Tensor]],
        prune: bool = True,
    ) -> list[Tensor]:
        """Per image: logits (N,K+1), masks (N,h,w) and text (K,E) -> probabilities (N,K)."""
        requests, scorers, heads = [], [], []
        for record, (logits, masks, text) in zip(records, proposals):
            seen = record["vocabulary"].seen_mask.to(self.device)
            heads.append(head_probabilities(logits, seen, self.seen_penalty))
            scorers.append(
                partial(
                    combine, self.ensemble_mode, heads[-1], seen_mask=seen, lam=self.ensemble_lambda
                )
            )
            image = record["image"].to(self.device)
            scores = scorers[-1] if prune else None
            requests.append(RegionRequest(image, masks, text, scores, self.mask_votes))
        if self.ensemble_mode == "head":
            return heads  # CLIP's image tower is not run at all
        regions = self.region_classifier.classify(requests)
        return [score(found.probs, found.valid) for score, found in zip(scorers, regions)]
