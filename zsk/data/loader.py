"""Detectron2's loaders with the zero-shot mapper."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import (
    DatasetFromList,
    MapDataset,
    build_detection_test_loader,
    get_detection_dataset_dicts,
)
from detectron2.data.samplers import InferenceSampler
from detectron2.utils import comm
from torch.utils.data import DataLoader

from zsk.data.augmentations import eval_augmentations
from zsk.data.dataset_mapper import ZeroShotMapper
from zsk.data.samples import PositionSampler, SeededSamples, SkippedFiles
from zsk.data.vocabularies import get_vocabulary
from zsk.engine.signals import outlive_stop_signals
from zsk.errors import UserError


def build_train_loader(cfg: CfgNode, start_iter: int = 0) -> DataLoader | SkippedFiles:
    """An endless loader of lists of mapped training records (see `ZeroShotMapper`).

    Args:
        cfg: DATASETS.TRAIN, SOLVER.IMS_PER_BATCH (of all processes), DATALOADER.NUM_WORKERS,
            DATALOADER.SKIP_UNREADABLE and SEED are read. SEED (a negative one is drawn) alone
            decides the order of images and their random views: workers, processes and what was
            drawn before do not change them.
        start_iter: first iteration of a resumed run, which gets the images of this iteration.

    Raises:
        UserError: no or unknown training data set, vocabularies that differ, files that do not
            pair up, or a batch that the processes cannot share evenly.
    """
    names = cfg.DATASETS.TRAIN
    records = _training_records(names)
    logging.getLogger(__name__).info(f"training on {len(records)} images of {', '.join(names)}")
    batch, processes = cfg.SOLVER.IMS_PER_BATCH, comm.get_world_size()
    if batch < processes or batch % processes:
        raise UserError(
            f"SOLVER.IMS_PER_BATCH is {batch}, which {processes} processes cannot share evenly: "
            f"choose a multiple of {processes}"
        )
    mapper = ZeroShotMapper(cfg, is_train=True, dataset_name=names[0])
    share = cfg.DATALOADER.SKIP_UNREADABLE
    seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
    loader = DataLoader(
        SeededSamples(DatasetFromList(records, copy=False), mapper, seed, share > 0),
        sampler=PositionSampler(len(records), seed, start_iter * (batch // processes)),
        batch_size=batch // processes,
        drop_last=True,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=list,
        worker_init_fn=outlive_stop_signals,
    )
    return SkippedFiles(loader, len(records), share) if share else loader


def build_test_loader(cfg: CfgNode, dataset_name: str) -> DataLoader:
    """A loader of all images of a data set in order, as lists of mapped records.

    Args:
        cfg: TEST.IMS_PER_BATCH (of one process; the last list may be shorter) and
            DATALOADER.NUM_WORKERS are read.

    Raises:
        UserError: the data set is not registered, or its files do not pair up.
    """
    mapper = ZeroShotMapper(cfg, is_train=False, dataset_name=dataset_name)
    records = get_detection_dataset_dicts(dataset_name, filter_empty=False)
    return DataLoader(
        MapDataset(DatasetFromList(records, copy=False), mapper),
        batch_size=cfg.TEST.IMS_PER_BATCH,
        sampler=InferenceSampler(len(records)),  # the images of this process
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=list,
        worker_init_fn=outlive_stop_signals,
    )


def build_segment_loader(cfg: CfgNode, max_images: int = 0, seed: int = 0) -> DataLoader:
    """The training images once, resized as in testing, as lists of one mapped training record.

    Args:
        cfg: DATASETS.TRAIN, DATASETS.PROMPT_NAMES, INPUT.MIN_SIZE_TEST, INPUT.MAX_SIZE_TEST and
            DATALOADER.NUM_WORKERS are read.
        max_images: as many images at most, drawn with `seed`; 0: all.

    Raises:
        UserError: no or unknown training data set, vocabularies that differ, or files that do not
            pair up.
    """
    names = cfg.DATASETS.TRAIN
    records = _training_records(names)
    if 0 < max_images < len(records):
        records = random.Random(seed).sample(records, max_images)
    mapper = ZeroShotMapper(
        is_train=True,
        vocabulary=get_vocabulary(names[0], friendly=cfg.DATASETS.PROMPT_NAMES),
        augmentations=eval_augmentations(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST),
    )
    return build_detection_test_loader(
        records, mapper=mapper, num_workers=cfg.DATALOADER.NUM_WORKERS
    )


def _training_records(names: Sequence[str]) -> list[dict[str, Any]]:
    """The records of the training data sets, which have to share one vocabulary."""
    if not names:
        raise UserError("DATASETS.TRAIN is empty: name a registered data set")
    vocabulary = get_vocabulary(names[0])
    for name in names[1:]:
        if get_vocabulary(name) != vocabulary:
            raise UserError(
                f"DATASETS.TRAIN lists {names[0]!r} and {name!r}, whose classes differ: "
                "train on data sets that share one vocabulary"
            )
    records: list[dict[str, Any]] = get_detection_dataset_dicts(names, filter_empty=False)
    return records
