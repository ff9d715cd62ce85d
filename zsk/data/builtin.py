"""The data sets of the project: where their files lie below one root."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path
from typing import Any

from detectron2.data import MetadataCatalog

from zsk.data.register import register_zero_shot_split
from zsk.data.splits import get_split, make_vocabulary
from zsk.resources import find_resource
from zsk.vocabulary import Vocabulary

_ADVICE = (
    "set DETECTRON2_DATASETS to a folder laid out as datasets/README.md says, then run "
    "`python datasets/prepare_{}`"
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
    <name>_supervised_train with all classes seen, except for photos; for evaluation only <name>_val
    of EVALUATION_SETS; the <name>_supervised_train of three of them say what published models saw,
    and have no files. Missing files are reported when a data set is listed, with the command that
    prepares them.

    Raises:
        UserError: they are registered already, below another root.
    """
    root = Path(root)
    voc, coco = root / "VOC2012", root / "coco"
    voc_photos, coco_photos, coco_zsk = voc / "JPEGImages", coco / "train2017", coco / "zsk"
    coco_all, coco_seen = coco_zsk / "train2017", coco_zsk / "train2017_seen"
    photos_train, photos_val, photos_overfit = (
        find_resource(f"datasets/photos_{part}.txt") for part in ("train", "val", "overfit")
    )
    for name, split, images, labels, file_list in (
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
        _register(name, split, images, labels, f"{split}.py", file_list=file_list)
    for split in ("synthetic_stuff", "synthetic_objects"):
        # the files hold ids of synthetic_stuff; for the objects, the values of stuff are no class
        values = {name: i for i, name in enumerate(get_split(split).names)}
        options: Any = {"label_values": values if split == "synthetic_objects" else None}
        for ending in ("zs_train", "supervised_train", "zs_val"):
            files = root / "synthetic" / ending.rpartition("_")[2]
            folders = files / "photos", files / "labels"
            _register(f"{split}_{ending}", split, *folders, "synthetic.py", **options)
    _register_evaluation_sets(root)


def _register(
    name: str, split: str, images: Path, labels: Path, program: str, **options: Any
) -> None:
    """Register a data set whose labels `program` prepares."""
    classes = get_split(split)
    if name.endswith("_supervised_train"):
        classes = dataclasses.replace(classes, seen=(True,) * len(classes))
    register_zero_shot_split(
        name,
        images,
        labels,
        classes,
        training=not name.endswith("_val"),
        label_orientation="displayed",
        advice=_ADVICE.format(program),
        **options,
    )


def _register_evaluation_sets(root: Path) -> None:
    voc, context, city = (root / folder for folder in ("VOC2012", "VOC2010", "cityscapes"))
    ade, ade_full = root / "ADEChallengeData2016", root / "ADE20K_2021_17_01" / "zsk"
    photos, context_val = context / "JPEGImages", context / "ImageSets/SegmentationContext/val.txt"
    voc_photos, voc_labels = voc / "JPEGImages", voc / "SegmentationClassAug"
    of_context = "pascal_context.py --classes"
    for name, program, images, labels, file_list in (
        ("voc_20b", "voc.py", voc_photos, voc_labels, voc / "val.txt"),
        ("pascal_context_59", f"{of_context} 59", photos, context / "zsk/val", context_val),
        ("pascal_context_459", f"{of_context} 459", photos, context / "zsk/val_459", context_val),
        ("ade20k_150", "ade20k.py", ade / "images/validation", ade / "zsk/validation", None),
        ("ade20k_847", "ade20k.py --classes 847", ade_full / "photos", ade_full / "labels", None),
        ("cityscapes_19", "cityscapes.py", city / "zsk/val_photos", city / "zsk/val", None),
    ):
        options: dict[str, Any] = {"file_list": file_list, "evaluation_only": True}
        if name == "voc_20b":
            # of VOC's own label files, 0 is the background and position + 1 a class
            names = get_split(name).names
            options["label_values"] = {n: (i + 1) % len(names) for i, n in enumerate(names)}
            options["words"] = {"background": _background()}
        _register(f"{name}_val", name, images, labels, program, **options)
        MetadataCatalog.get(f"{name}_val").prepared = True  # no doubt about the ids
    advice = "it only says what published models saw: train on a split file of your own"
    for split in ("pascal_context_59", "ade20k_150", "cityscapes_19"):
        name = f"{split}_supervised_train"
        folders = root / name / "photos", root / name / "labels"
        register_zero_shot_split(name, *folders, get_split(split), training=True, advice=advice)


def _background() -> Vocabulary:
    """What VOC's background is asked for as (PAS-20b): the other 39 classes of Pascal Context."""
    voc, context = get_split("voc").names, get_split("pascal_context_59")
    prompts = zip(context.names, context.prompt_names)
    others = {name: prompt for name, prompt in prompts if name not in voc}
    return make_vocabulary(list(others), prompt_names=others)
