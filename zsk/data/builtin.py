"""The data sets of the project: where their files lie below one root."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path

from zsk.data.evaluation_sets import EVALUATION_SETS
from zsk.data.register import register_zero_shot_split
from zsk.data.splits import get_split
from zsk.resources import find_resource
from zsk.vocabulary import Vocabulary

_ADVICE = (
    "set DETECTRON2_DATASETS to a folder laid out as datasets/README.md says, then run "
    "`python datasets/prepare_{}.py`"
)


def datasets_root() -> str:
    """The folder that holds all data sets: $DETECTRON2_DATASETS, else ./datasets."""
    return os.path.expanduser(os.environ.get("DETECTRON2_DATASETS") or "datasets")


def register_builtin() -> None:
    """`register_all` below `datasets_root()`.

    A relative root is below the working directory of the first call, so a program may change its
    working directory.
    """
    register_all(_absolute(datasets_root()))


@functools.cache
def _absolute(root: str) -> str:
    return os.path.abspath(root)


def register_all(root: str | os.PathLike[str]) -> None:
    """Register the data sets of datasets/README.md below `root`, whether their files exist or not.

    <name>_zs_train and <name>_zs_val for voc, coco_stuff, photos, synthetic_stuff (every pixel is
    labelled) and synthetic_objects (the ground is ignored), and photos_zs_overfit;
    <name>_supervised_train with all classes seen, except for photos; for evaluation only
    pascal_context_59_val, ade20k_150_val and cityscapes_19_val, whose <name>_supervised_train says
    what published models saw, and has no files. Missing files are reported when a
    data set is listed, with the command that prepares them.

    Raises:
        UserError: they are registered already, below another root.
    """
    voc, coco = Path(root) / "VOC2012", Path(root) / "coco"
    voc_photos, coco_photos, coco_zsk = voc / "JPEGImages", coco / "train2017", coco / "zsk"
    coco_all, coco_seen = coco_zsk / "train2017", coco_zsk / "train2017_seen"
    photos_train, photos_val, photos_overfit = (
        find_resource(f"datasets/photos_{part}.txt") for part in ("train", "val", "overfit")
    )
    for name, split, image_root, label_root, file_list in (
        ("voc_zs_train", "voc", voc_photos, voc / "zsk/train_seen", voc / "train.txt"),
        ("voc_supervised_train", "voc", voc_photos, voc / "zsk/train", voc / "train.txt"),
        ("voc_zs_val", "voc", voc_photos, voc / "zsk/val", voc / "val.txt"),
        ("coco_stuff_zs_train", "coco_stuff", coco_photos, coco_seen, None),
        ("coco_stuff_supervised_train", "coco_stuff", coco_photos, coco_all, None),
        ("coco_stuff_zs_val", "coco_stuff", coco / "val2017", coco_zsk / "val2017", None),
        ("photos_zs_train", "coco_stuff", coco_photos, coco_seen, photos_train),
        ("photos_zs_overfit", "coco_stuff", coco_photos, coco_seen, photos_overfit),
        ("photos_zs_val", "coco_stuff", coco_photos, coco_all, photos_val),
    ):
        register_zero_shot_split(
            name,
            image_root,
            label_root,
            _vocabulary(name, get_split(split)),
            training=not name.endswith("_val"),
            file_list=file_list,
            label_orientation="displayed",
            advice=_ADVICE.format(split),
        )
    _register_evaluation_sets(Path(root))
    _register_synthetic(Path(root) / "synthetic")


def _register_synthetic(root: Path) -> None:
    for split in ("synthetic_stuff", "synthetic_objects"):
        vocabulary = get_split(split)
        # the files hold ids of synthetic_stuff; for the objects, the values of stuff are no class
        values = {name: i for i, name in enumerate(vocabulary.names)}
        for ending in ("zs_train", "supervised_train", "zs_val"):
            name = f"{split}_{ending}"
            part = ending.rpartition("_")[2]
            register_zero_shot_split(
                name,
                root / part / "photos",
                root / part / "labels",
                _vocabulary(name, vocabulary),
                training=part == "train",
                label_values=values if split == "synthetic_objects" else None,
                label_orientation="displayed",
                advice=_ADVICE.format("synthetic"),
            )


def _vocabulary(name: str, split: Vocabulary) -> Vocabulary:
    """The vocabulary of the split; all classes are seen for fully supervised training."""
    if not name.endswith("_supervised_train"):
        return split
    return dataclasses.replace(split, seen=(True,) * len(split))


def _register_evaluation_sets(root: Path) -> None:
    context, ade, city = (root / f for f in ("VOC2010", "ADEChallengeData2016", "cityscapes"))
    photos, context_val = context / "JPEGImages", context / "ImageSets/SegmentationContext/val.txt"
    for name, script, image_root, label_root, file_list in (
        ("pascal_context_59", "pascal_context", photos, context / "zsk/val", context_val),
        ("ade20k_150", "ade20k", ade / "images/validation", ade / "zsk/validation", None),
        ("cityscapes_19", "cityscapes", city / "zsk/val_photos", city / "zsk/val", None),
    ):
        register_zero_shot_split(
            f"{name}_val",
            image_root,
            label_root,
            EVALUATION_SETS[name],
            training=False,
            evaluation_only=True,
            file_list=file_list,
            label_orientation="displayed",
            advice=_ADVICE.format(script),
        )
        register_zero_shot_split(
            f"{name}_supervised_train",
            root / f"{name}_supervised_train/photos",
            root / f"{name}_supervised_train/labels",
            EVALUATION_SETS[name],
            training=True,
            advice="it only says what published models saw: train on a split file of your own",
        )
