#!/usr/bin/env python
"""How many training images a second one process prepares, beside the usual recipe.

python tools/benchmark/loader.py --config-file configs/voc-11k-15/zsk_R101_bs8_40k.yaml

Both read and augment the photos of DATASETS.TRAIN with the same augmentations. The usual recipe, as
mask classification's public mappers have it, is rebuilt here: labels as float64, padding in torch,
and one binary mask per class. Rounds of both alternate, on one thread; medians are printed.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import zsk  # noqa: F401, E402  isort: skip  (first: makes Detectron2 importable)
import numpy as np  # noqa: E402
import torch  # noqa: E402
from detectron2.config import CfgNode  # noqa: E402
from detectron2.data import get_detection_dataset_dicts  # noqa: E402
from detectron2.data import transforms as T  # noqa: E402
from detectron2.data.detection_utils import read_image  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from tqdm import tqdm  # noqa: E402

from zsk.data.augmentations import PadBottomRight  # noqa: E402
from zsk.data.dataset_mapper import ZeroShotMapper  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.load import load_config  # noqa: E402
from zsk.vocabulary import IGNORE_LABEL  # noqa: E402

Mapper = Callable[[dict[str, Any]], Any]


class UsualMapper:
    """Labels as float64 through the same augmentations, then padding and a mask for each class."""

    def __init__(self, augmentations: Sequence[Any], side: int):
        """`side`: what height and width are padded to."""
        self.augmentations = T.AugmentationList(augmentations)
        self.side = side

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        labels = read_image(record["sem_seg_file_name"]).astype("double")
        view = T.AugInput(read_image(record["file_name"], format="RGB"), sem_seg=labels)
        self.augmentations(view)
        image = torch.as_tensor(np.ascontiguousarray(view.image.transpose(2, 0, 1)))
        sem_seg = torch.as_tensor(view.sem_seg.astype("long"))
        padding = (0, self.side - image.shape[2], 0, self.side - image.shape[1])
        image = F.pad(image, padding, value=128).contiguous()
        sem_seg = F.pad(sem_seg, padding, value=IGNORE_LABEL).contiguous()
        classes = [k for k in np.unique(sem_seg.numpy()) if k != IGNORE_LABEL]
        masks = [(sem_seg == int(k)).contiguous() for k in classes]
        return {**record, "image": image, "sem_seg": sem_seg, "masks": masks}


def seconds_per_image(mapper: Mapper, records: Sequence[dict[str, Any]], seed: int) -> float:
    """Seconds per image of one round, with the random views that `seed` gives."""
    np.random.seed(seed)
    torch.manual_seed(seed)
    start = time.perf_counter()
    for record in records:
        mapper(record)
    return (time.perf_counter() - start) / len(records)


def build_mappers(cfg: CfgNode) -> dict[str, Mapper]:
    """Ours as the configuration builds it, and the usual one with the same augmentations."""
    if not cfg.INPUT.CROP.ENABLED:
        raise UserError("INPUT.CROP.ENABLED is False: the recipes are compared on crops")
    ours = ZeroShotMapper(cfg, is_train=True, dataset_name=cfg.DATASETS.TRAIN[0])
    shared = [a for a in ours.augmentations.augs if not isinstance(a, PadBottomRight)]
    return {"this project": ours, "usual recipe": UsualMapper(shared, max(cfg.INPUT.CROP.SIZE))}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the loader against the usual recipe.")
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--images", type=int, default=40, help="images a round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="configuration keys and values")
    args = parser.parse_args()
    if min(args.images, args.rounds) < 1:
        raise UserError("--images and --rounds have to be 1 or more")
    torch.set_num_threads(1)
    cfg = load_config(args.config_file, args.opts)
    records = get_detection_dataset_dicts(cfg.DATASETS.TRAIN, filter_empty=False)[: args.images]
    mappers = build_mappers(cfg)
    seconds: dict[str, list[float]] = {name: [] for name in mappers}
    for seed in tqdm(range(args.rounds), desc="rounds"):
        for name, mapper in mappers.items():
            seconds[name].append(seconds_per_image(mapper, records, seed))
    for name, values in seconds.items():
        median = statistics.median(values)
        spread = f"{1 / max(values):.1f}–{1 / min(values):.1f}"
        print(f"{name:<14}{1 / median:6.1f} images/s per process ({spread}), {len(records)} images")


if __name__ == "__main__":
    run_cli(main)
