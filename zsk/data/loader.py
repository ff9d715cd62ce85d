"""Detectron2's loaders with the zero-shot mapper."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, MapDataset, get_detection_dataset_dicts
from detectron2.data.samplers import InferenceSampler
from detectron2.utils import comm
from torch.utils.data import DataLoader

from zsk.data.dataset_mapper import ZeroShotMapper
from zsk.data.samples import PositionSampler, SeededSamples, SkippedFiles
from zsk.data.vocabularies import get_vocabulary
from zsk.engine.signals import outlive_stop_signals
from zsk.errors import UserError


def build_train_loader(cfg: CfgNode, start_iter: int = 0) -> DataLoader | SkippedFiles:
    """An endless loader of lists of mapped training records (see `ZeroShotMapper`).

    Args:
        cfg: DATASETS.TRAIN, DATASETS.TRAIN_IMAGES, SOLVER.IMS_PER_BATCH (of all processes),
            DATALOADER.NUM_WORKERS, DATALOADER.SKIP_UNREADABLE and SEED are read. SEED (a negative
            one is drawn) alone decides the order of images and their random views: workers,
            processes and what was drawn before do not change them.
        start_iter: first iteration of a resumed run, which gets the images of this iteration.

    Raises:
        UserError: no or unknown training data set, vocabularies that differ, files that do not
            pair up, fewer images than wanted, or a batch that the processes cannot share evenly.
    """
    names = cfg.DATASETS.TRAIN
    records = training_records(names, cfg.DATASETS.TRAIN_IMAGES)
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
        # its own: opened within an iteration, it would shift the draws of that iteration
        generator=torch.Generator(),
    )
    return SkippedFiles(loader, len(records), share) if share else loader


def build_test_loader(cfg: CfgNode, dataset_name: str) -> DataLoader:
    """A loader of all images of a data set in order, as lists of mapped records.

    Lists have TEST.IMS_PER_BATCH records (of one process); the last one may be shorter.

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


def training_records(names: Sequence[str], count: int = 0) -> list[dict[str, Any]]:
    """The records of the training data sets.

    Args:
        names: as in DATASETS.TRAIN.
        count: fewer than all: the first ones of a random order that the number of all records
            decides alone; 0 or all: all, as they are listed.

    Raises:
        UserError: the data sets do not share one vocabulary, or have fewer images.
    """
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
    if count > len(records):
        raise UserError(
            f"DATASETS.TRAIN_IMAGES is {count}, but {', '.join(names)} has {len(records)} images: "
            f"give {len(records)} or fewer, or 0 for all"
        )
    if not 0 < count < len(records):
        return records
    random.Random(0).shuffle(records)  # all of them: the first 100 are among the first 200
    return records[:count]
