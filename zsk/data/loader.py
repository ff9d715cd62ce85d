"""Detectron2's loaders around the zero-shot mapper."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import (
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm
from torch.utils.data import DataLoader

from zsk.data.dataset_mapper import ZeroShotMapper
from zsk.data.images import read_label
from zsk.data.register import get_vocabulary
from zsk.errors import UserError
from zsk.vocabulary import IGNORE_LABEL, Vocabulary


class ContinuedSampler(TrainingSampler):
    """Detectron2's endless shuffle, less the `start` indices that this process had already."""

    def __init__(self, size: int, seed: int | None, start: int):
        super().__init__(size, seed=seed)
        self.start = start

    def __iter__(self) -> Iterator[int]:
        yield from itertools.islice(super().__iter__(), self.start, None)


def build_train_loader(cfg: CfgNode, start_iter: int = 0) -> DataLoader:
    """An endless loader of lists of mapped training records (see `ZeroShotMapper`).

    Reads DATASETS.TRAIN, DATASETS.MAX_TRAIN_IMAGES, SOLVER.IMS_PER_BATCH (over all processes),
    DATALOADER.NUM_WORKERS and SEED, which fixes the order of the images; what augmentation draws
    follows from the global random state. Several training data sets have to share one vocabulary.
    A resumed run gives the iteration it starts with and gets the images that come then.

    Raises:
        UserError: no or unknown training data set, vocabularies that differ, files that do not
            pair up, or (with MAX_TRAIN_IMAGES) no image with a seen pixel.
    """
    names = cfg.DATASETS.TRAIN
    vocabulary = _common_vocabulary(names)
    records = get_detection_dataset_dicts(names, filter_empty=False)
    if cfg.DATASETS.MAX_TRAIN_IMAGES > 0:
        records = first_records_with_seen_pixels(records, vocabulary, cfg.DATASETS.MAX_TRAIN_IMAGES)
    logging.getLogger(__name__).info(f"training on {len(records)} images of {', '.join(names)}")
    batch_per_process = cfg.SOLVER.IMS_PER_BATCH // comm.get_world_size()
    # Detectron2 takes a negative seed for "draw one"; the sampler does so given None
    seed = cfg.SEED if cfg.SEED >= 0 else None
    return build_detection_train_loader(
        records,
        mapper=ZeroShotMapper(cfg, is_train=True, dataset_name=names[0]),
        sampler=ContinuedSampler(len(records), seed, start_iter * batch_per_process),
        total_batch_size=cfg.SOLVER.IMS_PER_BATCH,
        aspect_ratio_grouping=False,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


def build_test_loader(cfg: CfgNode, dataset_name: str) -> DataLoader:
    """A loader over all images of one data set, in order, as lists of one mapped record.

    Raises:
        UserError: the data set is not registered, or its files do not pair up.
    """
    mapper = ZeroShotMapper(cfg, is_train=False, dataset_name=dataset_name)
    return build_detection_test_loader(
        get_detection_dataset_dicts(dataset_name, filter_empty=False),
        mapper=mapper,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


def first_records_with_seen_pixels(
    records: Sequence[dict[str, Any]], vocabulary: Vocabulary, count: int
) -> list[dict[str, Any]]:
    """The first `count` records (or as many as there are) whose labels hold a seen class.

    Args:
        records: with "sem_seg_file_name"; label files are read in order until enough are found.
        vocabulary: the joint vocabulary of the label files.
        count: a positive number.

    Raises:
        UserError: no record holds a seen pixel, or a label cannot be read.
    """
    to_seen = vocabulary.seen_lookup()
    kept = []
    for record in records:
        if (to_seen[read_label(record["sem_seg_file_name"])] != IGNORE_LABEL).any():
            kept.append(record)
        if len(kept) == count:
            break
    if not kept:
        raise UserError(f"none of the {len(records)} training images holds a seen pixel")
    return kept


def _common_vocabulary(names: Sequence[str]) -> Vocabulary:
    """The joint vocabulary that all the training data sets share."""
    if not names:
        raise UserError("DATASETS.TRAIN is empty: name a registered data set")
    vocabulary = get_vocabulary(names[0])
    for name in names[1:]:
        if get_vocabulary(name) != vocabulary:
            raise UserError(
                f"DATASETS.TRAIN lists {names[0]!r} and {name!r}, whose classes differ: "
                "train on data sets that share one vocabulary"
            )
    return vocabulary
