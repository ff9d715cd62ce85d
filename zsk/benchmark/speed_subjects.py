"""Builds what one case of the speed benchmark measures, and runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.modeling import build_model
from torch import Tensor, nn
from torch.nn import functional as F

from zsk.batched_inputs import Record, laid_out, padded_images
from zsk.classification.frozen_module import FrozenModule
from zsk.classification.half_at_rest import wake
from zsk.config import default_vocabulary, load_config
from zsk.data.eval_options import eval_resize
from zsk.data.images import read_image
from zsk.engine.checkpoint import load_weights
from zsk.engine.solver import build_optimizer
from zsk.errors import UserError
from zsk.norm_folding import fold_batch_norms
from zsk.profiling import PartClock, replaced, timed_parts
from zsk.zsk_net import ZSKNet

from .speed_cases import ROOT, Case
from .speed_device import event_seconds
from .speed_reference import PublishedInference
from .speed_scenes import (
    PlausibleMasks,
    damp_residuals,
    numbered_names,
    segment_labels,
    synthetic_photo,
)
from .speed_shared import SharedParts

WARM_UPS = 3  # on a GPU


@dataclass
class Subject:
    """A built case.

    Attributes:
        model: what runs; `encoder` names its regions.
        records: the photos of a run.
        step: one run.
        scope: holds what lasts as long as the subject (its precision on a GPU).
    """

    case: Case
    model: nn.Module
    encoder: Any
    records: list[Record]
    step: Callable[[], Any]
    scope: ExitStack = field(default_factory=ExitStack)

    @property
    def photos(self) -> int:
        """What a run's seconds are divided by: a training step counts as one."""
        return 1 if self.case.kind == "train" else len(self.records)

    def warm_up(self) -> None:
        """Run what the first run takes longer for: loading, choosing kernels, finding memory.

        On a CPU crops are left out but for one, else it would take as long as a run.
        """
        if self.encoder.device.type == "cuda":
            for _ in range(WARM_UPS):
                self.step()
            return
        with self.crops_left_out() as crops:
            self.step()
        if crops[0]:
            self.encode_crop()

    @contextmanager
    def crops_left_out(self) -> Iterator[list[int]]:
        """While it lasts, crops are not encoded but counted, in the list's only number."""
        encoder, crops = self.encoder, [0]

        def no_features(batch: Tensor) -> Tensor:
            crops[0] += len(batch)
            return torch.zeros(len(batch), encoder.embed_dim, device=encoder.device)

        with replaced(encoder, "encode_image", no_features):
            yield crops

    def encode_crop(self) -> Tensor:
        """What encoding one crop takes."""
        side = self.encoder.input_size
        return self.encoder.encode_image(torch.zeros(1, 3, side, side, device=self.encoder.device))

    def run(self) -> dict[str, Any]:
        """One timed run → seconds per photo (per step in training), of each part, and crops.

        On a GPU the parts are from a run that waits for the device after each, the whole from runs
        that do not, see `event_seconds`.
        """
        clock, crops = PartClock(), [0]
        encode = self.encoder.encode_image

        def counted(batch: Tensor) -> Tensor:
            crops[0] += len(batch)
            return encode(batch)

        with replaced(self.encoder, "encode_image", counted), ExitStack() as stack:
            if self.case.kind == "inference":
                stack.enter_context(timed_parts(clock, self.model))
            with clock.part("whole"):
                self.step()
        seconds = clock.seconds
        whole = sum(seconds.values())
        del seconds["whole"]
        if self.encoder.device.type == "cuda":
            whole = event_seconds(self.step, whole)
        return {
            "seconds": whole / self.photos,
            "parts": {name: spent / self.photos for name, spent in seconds.items()},
            "crops": crops[0] / self.photos,
        }

    def parameters(self) -> list[Tensor]:
        """All weights, those of frozen networks included."""
        held = [m for m in self.model.modules() if isinstance(m, FrozenModule)]
        frozen = [network for module in (*held, self.encoder) for network in module.networks()]
        both = [p for module in (self.model, *frozen) for p in module.parameters()]
        return list({id(p): p for p in both}.values())


def build_subject(case: Case, shared: SharedParts | None = None) -> Subject:
    """Load the configuration, build the model and its inputs.

    `shared`: parts that other cases of the process may have; None: none.

    Raises:
        UserError: the configuration or its weights cannot be used.
    """
    cfg = _configuration(case)
    shared = shared or SharedParts()
    if case.trained or case.kind == "train":
        shared.clear()  # weights that are loaded or learned are nobody else's
        shared = SharedParts()
    key = str((case.kind, case.config, case.opts))
    model = shared.model(key, lambda: _model(cfg, case))
    if case.kind == "train":
        return _train_subject(cfg, case, model)
    records = _records(cfg, case)
    encoder = model.region_classifier.encoder
    scope = ExitStack()
    if encoder.device.type == "cuda" and not case.half:
        scope.enter_context(encoder.single_precision())
    if case.names:
        _warm_text(model, records[0])
    if case.kind == "head":
        return Subject(case, model, encoder, records, _head_step(model, records[0]), scope)
    if not case.published:
        model.text_classifier(records[0]["vocabulary"])
    runner: nn.Module = PublishedInference.of(model) if case.published else model

    def step() -> None:
        # ours switches to half precision by itself, where it helps
        with torch.autocast(model.device.type, torch.float16, enabled=case.published and case.half):
            for start in range(0, len(records), case.batch):
                runner(records[start : start + case.batch])

    return Subject(case, runner, encoder, records, step, scope)


def _configuration(case: Case) -> CfgNode:
    cfg = load_config(str(ROOT / case.config), case.opts)
    cfg.MODEL.TEST_DTYPE = "float16" if case.half and cfg.MODEL.DEVICE != "cpu" else "float32"
    cfg.freeze()
    return cfg


def _model(cfg: CfgNode, case: Case) -> ZSKNet:
    torch.manual_seed(0)
    model = build_model(cfg)
    if not isinstance(model, ZSKNet):
        raise UserError(
            f"{case.config} is of MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE}: give a "
            "configuration of ZSKNet"
        )
    if case.trained:
        load_weights(model, cfg.MODEL.WEIGHTS)
    else:
        damp_residuals(model.backbone)
    model.eval()
    if case.published:  # holds CLIP in single precision, as the published code does
        for network in model.region_classifier.encoder.networks():
            wake(network)
    elif case.kind != "train":
        fold_batch_norms(model.backbone)
    if case.kind == "inference" and not case.trained:
        queries = cfg.MODEL.SEM_SEG_HEAD.NAME == "ZSMaskFormerHead"
        count = cfg.MODEL.MASK_FORMER.NUM_QUERIES if queries else cfg.MODEL.KERNELS.NUM_KERNELS
        model.sem_seg_head = PlausibleMasks(model.sem_seg_head, count).to(model.device).eval()
    return model


def _records(cfg: CfgNode, case: Case) -> list[Record]:
    """The photos as the model takes them; their results have the size that the photos had."""
    vocabulary = numbered_names(case.names) if case.names else default_vocabulary(cfg)
    if case.photos:
        photos = [read_image(file) for file in case.photos]
    else:
        drawn = [synthetic_photo(case.photo, seed) for seed in range(case.batch)]
        photos = [photo.permute(1, 2, 0).numpy() for photo in drawn]
    resize = T.AugmentationList(eval_resize(cfg) if case.photos or case.resized else [])
    records = []
    for photo in photos:
        view = T.AugInput(photo)
        resize(view)
        image = torch.as_tensor(view.image.copy()).permute(2, 0, 1).contiguous()
        height, width = photo.shape[:2]
        records.append({"image": image, "height": height, "width": width, "vocabulary": vocabulary})
    return records


def _warm_text(model: ZSKNet, record: Record) -> None:
    """Put random embeddings of the record's names where the text cache keeps them on disk.

    What a warm cache costs does not depend on what is in it, and to encode 2,000 names takes
    minutes.
    """
    encoder, text = model.region_classifier.encoder, model.text_classifier
    names = record["vocabulary"].prompt_names
    rows = F.normalize(torch.randn(len(names), encoder.embed_dim, device=encoder.device), dim=1)
    if text.disk_cache is not None:
        text.disk_cache.rows(encoder, text.templates, names, lambda: rows)


def _head_step(model: ZSKNet, record: Record) -> Callable[[], Any]:
    """The head alone on one photo's features."""
    dtype = model.test_dtype

    def precision() -> torch.autocast:
        return torch.autocast(model.device.type, dtype, enabled=dtype != torch.float32)

    with torch.inference_mode(), precision():
        text = model.text_classifier(record["vocabulary"])
        pixels = padded_images([record], model.pixel_mean, model.pixel_std).tensor
        features = model.backbone(laid_out(pixels, training=False))

    def step() -> Any:
        with torch.inference_mode(), precision():
            return model.sem_seg_head(features, text)

    return step


def _train_subject(cfg: CfgNode, case: Case, model: ZSKNet) -> Subject:
    """Forward, losses, backward and the optimizer's step, on two photos."""
    model.train()
    vocabulary = default_vocabulary(cfg).seen_only()
    records: list[Record] = [
        {
            "image": synthetic_photo(case.photo, seed),
            "sem_seg": segment_labels(case.photo, len(vocabulary), seed),
            "vocabulary": vocabulary,
        }
        for seed in range(2)
    ]
    optimizer = build_optimizer(cfg, model)
    device = model.device.type
    scaler = torch.amp.GradScaler(device, enabled=case.half)

    def step() -> None:
        optimizer.zero_grad()  # first, as in train_net.py
        with torch.autocast(device, torch.float16, enabled=case.half):
            loss = torch.stack(list(model(records).values())).sum()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    return Subject(case, model, model.region_classifier.encoder, records, step)
