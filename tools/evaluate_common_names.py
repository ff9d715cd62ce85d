#!/usr/bin/env python
"""Evaluate a model on a smaller vocabulary: the names that most photos show.

python tools/evaluate_common_names.py --config-file F --count 27 [KEY VALUE …]

A name counts for a photo when it covers 0.5 % of it or more. The evaluation is on the data set
DATASETS.TEST, whose photos decide unless --count-on names other data sets. Pixels of other names
are ignored. The ordinary evaluator reads the same label files as a data set of fewer names.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

# a checkout works as it is, without being installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import zsk  # noqa: F401, E402  isort: skip  (first: makes Detectron2 importable)
import numpy as np  # noqa: E402
from detectron2.data import DatasetCatalog, MetadataCatalog  # noqa: E402
from detectron2.utils.logger import setup_logger  # noqa: E402

from zsk.data.check import check_at_start  # noqa: E402
from zsk.data.labels import NUM_VALUES, check_ids, read_joint_label  # noqa: E402
from zsk.data.listing import files_by_stem  # noqa: E402
from zsk.data.register import register_zero_shot_split  # noqa: E402
from zsk.data.vocabularies import classes_of_words, get_vocabulary, is_cross_dataset  # noqa: E402
from zsk.engine.trained_model import load_trained  # noqa: E402
from zsk.engine.trainer import Trainer  # noqa: E402
from zsk.errors import UserError, run_cli  # noqa: E402
from zsk.files import writable_folder  # noqa: E402
from zsk.load import check_device, load_config  # noqa: E402
from zsk.protocol import noted_protocol, protocol_of  # noqa: E402
from zsk.vocabulary import Vocabulary  # noqa: E402

MIN_SHARE = 0.005  # of a photo's pixels


def commonest_ids(records: Iterable[dict[str, Any]], num_classes: int, count: int) -> list[int]:
    """The `count` label ids that most records show, ascending; ties go to the smaller id."""
    photos = np.zeros(NUM_VALUES, dtype=np.int64)
    for record in records:
        label = read_joint_label(record)
        check_ids(label, record, num_classes)
        photos += np.bincount(label.ravel(), minlength=len(photos)) >= MIN_SHARE * label.size
    shown = [k for k in np.argsort(-photos[:num_classes], kind="stable") if photos[k]]
    return sorted(int(k) for k in shown[:count])


def register_subset(
    dataset: str,
    count: int,
    trained_on: Sequence[str] = (),
    counted: Sequence[str] = (),
) -> str:
    """Register `dataset` with only its commonest names.

    Args:
        counted: data sets whose photos are counted, by their labels in the folder of `dataset`;
            none: those of `dataset`.
    """
    joint = get_vocabulary(dataset, trained_on=trained_on)
    if classes_of_words(dataset) is not None:
        raise UserError(f"classes of {dataset} stand for several words: evaluate all its names")
    metadata = MetadataCatalog.get(dataset)
    hint = f": {metadata.advice}" if metadata.advice else ""
    found = files_by_stem(
        *(metadata.sem_seg_root, (metadata.label_suffix,), f"labels of {dataset}", hint),
        sub_folders=metadata.sub_folders,
    )
    photos = {
        record["image_id"] for name in counted or [dataset] for record in DatasetCatalog.get(name)
    }
    if missing := sorted(photos - found.keys()):
        raise UserError(
            f"{len(missing)} of the {len(photos)} photos to count have no label in "
            f"{metadata.sem_seg_root}, {missing[0]} among them: leave their data set out "
            "of --count-on"
        )
    files = [found[stem] for stem in sorted(photos)]
    how = {"label_values": metadata.label_values, "label_orientation": "displayed"}
    records = ({"sem_seg_file_name": file, **how} for file in files)
    ids = commonest_ids(records, len(joint), max(count, 0) or len(joint))
    if not ids:
        raise UserError(
            f"none of the {len(files)} labels in {metadata.sem_seg_root} shows a name of {dataset} "
            f"on {MIN_SHARE:.1%} of its pixels{hint}"
        )
    if not 0 < count <= len(ids):
        raise UserError(
            f"--count {count}, but {len(ids)} names of {dataset} cover {MIN_SHARE:.1%} of some "
            f"photo: give a number of 1 to {len(ids)}"
        )
    values = metadata.label_values or range(len(joint))
    vocabulary = Vocabulary(
        tuple(joint.names[k] for k in ids),
        tuple(joint.prompt_names[k] for k in ids),
        tuple(joint.seen[k] for k in ids),
    )
    name = f"{dataset}_{len(ids)}_names"
    register_zero_shot_split(
        name,
        metadata.image_root,
        metadata.sem_seg_root,
        vocabulary,
        training=False,
        file_list=metadata.file_list,
        image_suffixes=metadata.image_suffixes,
        label_suffix=metadata.label_suffix,
        sub_folders=metadata.sub_folders,
        label_values={joint.names[k]: values[k] for k in ids},
        label_orientation=metadata.label_orientation,
        evaluation_only=is_cross_dataset(dataset, trained_on),
        advice=metadata.advice,
    )
    return name


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluate on the names that most photos show.")
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--count", type=int, default=27, help="names kept (default: %(default)s)")
    parser.add_argument(
        "--count-on",
        action="append",
        metavar="DATASET",
        help="the photos that decide which names are common, once or more (default: DATASETS.TEST)",
    )
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="configuration keys and values")
    args = parser.parse_args()
    setup_logger(name="zsk")
    cfg = load_config(args.config_file, args.opts)
    if len(cfg.DATASETS.TEST) != 1:
        raise UserError(f"DATASETS.TEST is {tuple(cfg.DATASETS.TEST)}: name one data set")
    check_device(cfg.MODEL.DEVICE)
    writable_folder(Path(cfg.OUTPUT_DIR), f"OUTPUT_DIR {cfg.OUTPUT_DIR}")
    test, trained = cfg.DATASETS.TEST[0], cfg.DATASETS.TRAIN
    check_at_start([test, *(args.count_on or ())])
    cfg.DATASETS.TEST = (register_subset(test, args.count, trained, args.count_on or ()),)
    model, settings = load_trained(cfg)
    protocol = noted_protocol(settings) if settings else protocol_of(cfg)
    Trainer.test(cfg, model, protocol, settings.get("SEED"))


if __name__ == "__main__":
    run_cli(main)
