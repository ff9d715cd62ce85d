"""The training images once, with their segments."""

from __future__ import annotations

import random

from detectron2.config import CfgNode
from detectron2.data import build_detection_test_loader
from torch.utils.data import DataLoader

from zsk.data.augmentations import ResizeShortestEdge
from zsk.data.dataset_mapper import ZeroShotMapper
from zsk.data.loader import training_records
from zsk.data.vocabularies import get_vocabulary


def build_segment_loader(cfg: CfgNode, max_images: int = 0, seed: int = 0) -> DataLoader:
    """The training images once, resized as in testing, as lists of one mapped training record.

    Args:
        cfg: DATASETS.TRAIN, DATASETS.TRAIN_IMAGES, DATASETS.PROMPT_NAMES, INPUT.MIN_SIZE_TEST,
            INPUT.MAX_SIZE_TEST, INPUT.SIDE_MULTIPLE_TEST and DATALOADER.NUM_WORKERS are read.
        max_images: as many images at most, drawn with `seed`; 0: all.

    Raises:
        UserError: no or unknown training data set, vocabularies that differ, or files that do not
            pair up.
    """
    names = cfg.DATASETS.TRAIN
    records = training_records(names, cfg.DATASETS.TRAIN_IMAGES)
    if 0 < max_images < len(records):
        records = random.Random(seed).sample(records, max_images)
    sizes = cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, cfg.INPUT.SIDE_MULTIPLE_TEST
    mapper = ZeroShotMapper(
        is_train=True,
        vocabulary=get_vocabulary(names[0], friendly=cfg.DATASETS.PROMPT_NAMES),
        augmentations=[ResizeShortestEdge(*sizes)],
    )
    return build_detection_test_loader(
        records, mapper=mapper, num_workers=cfg.DATALOADER.NUM_WORKERS
    )
